"""Start-up: the model loads in a thread while the page is already there, and the page can ask how far it is.

Owns the stage, the loaded model, the making of its engines anew, and what the status bar says about TensorRT. Does not
know jobs or Gradio, and imports torch only through `load`, in the thread, so that the page is up before torch is.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from engines import cache
from engines.gpu import Gpu, Reason, find_gpu, why_no_tensorrt
from pipeline.encode import EncoderChoice, Fragment, InitSegment, Poster, choose_encoder
from pipeline.errors import Cancelled, EncoderError, WanError
from pipeline.past import Past
from pipeline.progress import NextPrompt, Observe, Progress, Stop, same_prompt
from pipeline.request import VideoRequest
from pipeline.tokens import Fit, fit
from styles import Style
from web import checklist
from web.checklist import Check
from web.memory import MemoryMonitor, PeakWatch
from web.prediction import Forecast, Forecaster

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pipeline.model import Model

Stage = Literal["starting", "encoder", "loading", "warming", "ready", "failed"]
_STAGES: Mapping[Stage, tuple[str, str]] = MappingProxyType(
    {
        "starting": ("Starting", "正在启动"),
        "encoder": ("Trying the video encoders", "正在检测视频编码器"),
        "loading": ("Loading the model", "正在载入模型"),
        "warming": ("Warming up", "正在预热"),
        "ready": ("Ready", "就绪"),
        "failed": ("The model did not load", "模型载入失败"),
    }
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TensorRt:
    """Whether TensorRT runs the model, and if not, why, in both languages."""

    on: bool
    reason_en: str = ""
    reason_zh: str = ""


def tensorrt_state(gpu: Gpu | None, backend: str, passed_over: Reason | None = None) -> TensorRt:
    """What the status bar says.

    Args:
        gpu: the GPU, if there is one.
        backend: label of the backend that the model runs on; "" before it is loaded.
        passed_over: why the engines that were loaded are not TensorRT's, as they say.
    """
    if "tensorrt" in backend.lower():
        return TensorRt(True)
    reason = passed_over or why_no_tensorrt(gpu)
    if reason is not None:
        return TensorRt(False, reason.en, reason.zh)
    if not backend:
        percent = cache.making_percent()
        if percent is not None:
            return TensorRt(False, f"building the engines, {percent} %", f"正在构建引擎，{percent} %")
        return TensorRt(False, "still starting", "正在启动")
    return TensorRt(False, f"running on {backend}", f"正在使用 {backend}")


class Runtime:
    """The model on its way from nothing to ready. Thread-safe; every public method may be called from any thread."""

    def __init__(
        self,
        load: Callable[[Stop], Model],
        warm_up: VideoRequest,
        known_styles: Mapping[str, Style] | None = None,
        *,
        learnt: Path | None = None,
    ) -> None:
        """Nothing starts before `start`.

        Args:
            load: gives the model; called in a thread, at the start and whenever engines are made anew. Its `Stop` says
                that no more engines are to be built.
            learnt: file of what is learnt about memory and time (see `web.prediction`); None predicts nothing.
            known_styles: what a request may name; the shipped ones where not given.
            warm_up: the beginning of this clip is made once, and thrown away, before the mark says ready.
        """
        self._load = load
        self._warm_up = warm_up
        self._known_styles = known_styles
        self._lock = threading.Lock()
        self._stage: Stage = "starting"
        self._model: Model | None = None
        self._measuring = threading.Lock()
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._error: Exception | None = None
        self._encoder = EncoderChoice("", "")
        self._gpu = find_gpu()
        self._memory = MemoryMonitor()
        self._other_bytes = 0  # in use on the GPU before there was a model: by others
        self._learnt = learnt
        self._forecaster: Forecaster | None = None
        self._in_use = threading.Lock()  # held while a clip is made, and while the model is taken away and loaded
        self._no_more = threading.Event()  # engines are not to be built any further

    @property
    def has_gpu(self) -> bool:
        """Whether NVML sees an NVIDIA GPU."""
        return self._gpu is not None

    def start(self, then: Callable[[], None]) -> None:
        """Load the model in a thread of its own, which never keeps the process alive.

        Args:
            then: called in that thread at the end, whether the model loaded or not.
        """

        def run() -> None:
            self._run()
            then()

        threading.Thread(target=run, name="load-model", daemon=True).start()

    def produce(
        self,
        request: VideoRequest,
        stop: Stop,
        observe: Observe,
        next_prompt: NextPrompt = same_prompt,
        latents_dir: Path | None = None,
        past: Past | None = None,
    ) -> Iterator[Poster | InitSegment | Fragment]:
        """`pipeline.stream` on this model, as the job manager wants it; waits while engines are made anew.

        Raises:
            Cancelled: `stop` said so.
            WanError: the model did not load; otherwise as `pipeline.stream`.
        """
        while not self._in_use.acquire(timeout=0.1):
            if stop():
                raise Cancelled
        try:
            if self._model is None:
                raise WanError(f"the model did not load: {self._error}") from self._error
            from pipeline import stream  # imports torch, which takes longer than the page may

            made = stream(
                request,
                self._model,
                known_styles=self._known_styles,
                stop=stop,
                observe=observe,
                next_prompt=next_prompt,
                latents_dir=latents_dir,
                past=past,
            )
            yield from made if past is not None else self._measured(request, made)
        finally:
            self._in_use.release()

    def _measured(
        self, request: VideoRequest, pieces: Iterator[Poster | InitSegment | Fragment]
    ) -> Iterator[Poster | InitSegment | Fragment]:
        """The same pieces; once all are made, what they took is learnt from."""
        begin = time.perf_counter()
        first_frame_seconds, frames = 0.0, 0
        with PeakWatch(self._memory) as peak:
            for piece in pieces:
                if isinstance(piece, Fragment):
                    frames += 1
                    first_frame_seconds = first_frame_seconds or time.perf_counter() - begin
                yield piece
        if self._forecaster is not None and frames == request.num_frames:
            seconds = time.perf_counter() - begin
            self._forecaster.learn(request, seconds, first_frame_seconds, peak.bytes - self._other_bytes)

    def forecast(self, request: VideoRequest) -> Forecast | None:
        """What a request will take; None while no model is loaded.

        Raises:
            RequestError: see `web.prediction.Forecaster.forecast`.
        """
        forecaster = self._forecaster
        return None if forecaster is None else forecaster.forecast(request)

    def allocator(self) -> tuple[int, int] | None:
        """Allocated and reserved bytes of PyTorch on the GPU; None where the model runs on none."""
        model = self._model
        if model is None or model.engines.device.type != "cuda":
            return None
        import torch

        return torch.cuda.memory_allocated(), torch.cuda.memory_reserved()

    def rebuild(self) -> bool:
        """Delete the cached engines and make them anew, in a thread, once the clip that runs has ended.

        Returns:
            False where that is under way already, or the first start is.
        """
        with self._lock:
            if self._stage not in ("ready", "failed"):
                return False
            self._stage, self._error = "loading", None
        self._no_more.clear()

        def run() -> None:
            with self._in_use:
                with self._lock:
                    self._model = self._forecaster = None
                gc.collect()  # the old engines' memory, before the new ones want theirs
                cache.clear()
                self._run()

        threading.Thread(target=run, name="rebuild", daemon=True).start()
        return True

    def stop_building(self) -> None:
        """Build no more engines: the next backend takes over. Without effect where none are being built."""
        self._no_more.set()

    @property
    def building_percent(self) -> int | None:
        """How far the building of engines is; None where none are being built."""
        with self._lock:
            loading = self._stage == "loading"
        return cache.making_percent() if loading else None

    def checks(self, jobs_dir: Path) -> list[Check]:
        """What a person should know about this machine; see `web.checklist`."""
        with self._lock:
            model, error, encoder = self._model, self._error, self._encoder
        backend = model.backend if model else ""
        engines = model.engines if model else None
        reason = engines.no_tensorrt if engines else why_no_tensorrt(self._gpu)
        return [
            checklist.driver(self._gpu),
            checklist.tensorrt(
                "tensorrt" in backend.lower(), backend, reason, self._gpu, self.building_percent if not model else None
            ),
            checklist.encoder(encoder.name, encoder.reason, self.has_gpu, isinstance(error, EncoderError)),
            checklist.model(model.spec.name if model else "", backend, error, engines.passed_over if engines else None),
            checklist.disk(jobs_dir),
        ]

    def fit(self, text: str) -> Fit | None:
        """How much of a text the model's encoder reads; None while no model is loaded."""
        model = self._model
        if model is None:
            return None
        with self._measuring:
            if self._tokenizer is None:
                # A copy: a tokenizer keeps its truncation between calls, and a clip may be using the model's own.
                self._tokenizer = copy.deepcopy(model.tokenizer)
            return fit(text, self._tokenizer, model.spec.max_sequence_length)

    def status(self) -> dict[str, Any]:
        """JSON members for `GET /status`.

        Returns:
            model, backend, gpu, encoder: names, "" while not known; defaults: the checkpoint's own
            `{"guidance", "steps"}` or None; trt `{"on", "reason_en", "reason_zh"}`; ready;
            stage: one of `Stage`; stage_en, stage_zh: the same as a sentence, with the error where it failed, and how
            far it is while engines are built.
        """
        with self._lock:
            model, stage, error, encoder = self._model, self._stage, self._error, self._encoder
        backend = model.backend if model else ""
        stage_en, stage_zh = _STAGES[stage]
        if error is not None:
            stage_en, stage_zh = f"{stage_en}: {error}", f"{stage_zh}：{error}"
        percent = self.building_percent
        if percent is not None:
            stage_en, stage_zh = f"Building the engines, {percent} %", f"正在构建引擎，{percent} %"
        return {
            "model": model.spec.name if model else "",
            "backend": backend,
            "gpu": self._gpu.name if self._gpu else "",
            "encoder": encoder.name,
            "trt": asdict(tensorrt_state(self._gpu, backend, model.engines.no_tensorrt if model else None)),
            "defaults": _defaults(model) if model else None,
            "ready": stage == "ready",
            "stage": stage,
            "stage_en": stage_en,
            "stage_zh": stage_zh,
        }

    def _run(self) -> None:
        try:
            self._enter("encoder")
            encoder = choose_encoder()
            _LOG.info("encoder %s: %s", encoder.name, encoder.reason)
            with self._lock:
                self._encoder = encoder
            self._enter("loading")
            reading = self._memory.read()
            self._other_bytes = reading.used_bytes if reading.source == "nvml" else 0
            model = self._load(self._no_more.is_set)
            self._enter("warming")
            with PeakWatch(self._memory) as peak:
                block, late_seconds = begin(self._warm_up, model)
            forecaster = self._new_forecaster(model)
            if forecaster is not None:
                forecaster.calibrate(self._warm_up, peak.bytes - self._other_bytes, block, late_seconds)
        except Exception as error:  # whatever it is, the page must say so and stay up
            _LOG.exception("the model did not load")
            with self._lock:
                self._error, self._stage = error, "failed"
            return
        with self._lock:
            self._model, self._stage, self._forecaster = model, "ready", forecaster
        _LOG.info("ready: %s on %s", model.spec.name, model.backend)

    def _new_forecaster(self, model: Model) -> Forecaster | None:
        if self._learnt is None or model.sizes is None:
            return None
        from pipeline.memory import this_machine

        return Forecaster(
            self._learnt,
            model.spec,
            model.sizes,
            model.backend,
            machine=this_machine,
            own_bytes=lambda: max(0, self._memory.read().used_bytes - self._other_bytes),
        )

    def _enter(self, stage: Stage) -> None:
        with self._lock:
            self._stage = stage


def _defaults(model: Model) -> dict[str, Any]:
    return {"guidance": model.spec.guidance_scale, "steps": model.spec.num_inference_steps}


def begin(request: VideoRequest, model: Model) -> tuple[int, float]:
    """Make a clip up to its last block of a new shape, and throw it away: every graph of its size is then warm.

    Returns:
        That block, and the seconds from behind its first step, in which it was new, to its last frame.
    """
    from pipeline import stream
    from pipeline.blocks import plan

    latest, last = 0, plan(request, model.spec.grid).last_new_shape
    behind_first = end = 0.0

    def observe(progress: Progress) -> None:
        nonlocal latest, behind_first, end
        latest = progress.block
        if (progress.stage, latest, progress.step) == ("denoise", last, 1):
            behind_first = end = time.perf_counter()
        elif (progress.stage, latest) == ("decode", last):
            end = time.perf_counter()

    with contextlib.suppress(Cancelled):
        for _ in stream(request, model, known_styles=None, stop=lambda: latest > last, observe=observe):
            pass
    return last, end - behind_first
