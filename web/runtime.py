"""Start-up: the model loads in a thread while the page is already there, and the page can ask how far it is.

Owns the stage, the loaded model and what the status bar says about TensorRT. Does not know jobs or Gradio, and imports
torch only through `load`, in the thread, so that the page is up before torch is.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from engines import cache
from engines.gpu import Gpu, Reason, find_gpu, why_no_tensorrt
from pipeline.encode import Fragment, InitSegment, Poster, choose_encoder
from pipeline.errors import Cancelled, WanError
from pipeline.progress import Observe, Progress, Stop
from pipeline.request import VideoRequest
from styles import Style

if TYPE_CHECKING:
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
        self, load: Callable[[], Model], warm_up: VideoRequest, known_styles: Mapping[str, Style] | None = None
    ) -> None:
        """Nothing starts before `start`.

        Args:
            load: gives the model; called once, in a thread.
            known_styles: what a request may name; the shipped ones where not given.
            warm_up: the beginning of this clip is made once, and thrown away, before the mark says ready.
        """
        self._load = load
        self._warm_up = warm_up
        self._known_styles = known_styles
        self._lock = threading.Lock()
        self._stage: Stage = "starting"
        self._model: Model | None = None
        self._error: Exception | None = None
        self._encoder = ""
        self._gpu = find_gpu()

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

    def produce(self, request: VideoRequest, stop: Stop, observe: Observe) -> Iterator[Poster | InitSegment | Fragment]:
        """`pipeline.stream` on this model, as the job manager wants it.

        Raises:
            WanError: the model did not load; otherwise as `pipeline.stream`.
        """
        if self._model is None:
            raise WanError(f"the model did not load: {self._error}") from self._error
        return _stream(request, self._model, self._known_styles, stop, observe)

    def status(self) -> dict[str, Any]:
        """JSON members for `GET /status`.

        Returns:
            model, backend, gpu, encoder: names, "" while not known; defaults: the checkpoint's own
            `{"guidance", "steps"}` or None; trt `{"on", "reason_en", "reason_zh"}`; ready;
            stage: one of `Stage`; stage_en, stage_zh: the same as a sentence, with the error where it failed.
        """
        with self._lock:
            model, stage, error, encoder = self._model, self._stage, self._error, self._encoder
        backend = model.backend if model else ""
        stage_en, stage_zh = _STAGES[stage]
        if error is not None:
            stage_en, stage_zh = f"{stage_en}: {error}", f"{stage_zh}：{error}"
        return {
            "model": model.spec.name if model else "",
            "backend": backend,
            "gpu": self._gpu.name if self._gpu else "",
            "encoder": encoder,
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
                self._encoder = encoder.name
            self._enter("loading")
            model = self._load()
            self._enter("warming")
            _begin(self._warm_up, model)
        except Exception as error:  # whatever it is, the page must say so and stay up
            _LOG.exception("the model did not load")
            with self._lock:
                self._error, self._stage = error, "failed"
            return
        with self._lock:
            self._model, self._stage = model, "ready"
        _LOG.info("ready: %s on %s", model.spec.name, model.backend)

    def _enter(self, stage: Stage) -> None:
        with self._lock:
            self._stage = stage


def _stream(
    request: VideoRequest, model: Model, known_styles: Mapping[str, Style] | None, stop: Stop, observe: Observe
) -> Iterator[Poster | InitSegment | Fragment]:
    # Imported here because it imports torch, which takes longer than the page may.
    from pipeline import stream

    return stream(request, model, known_styles=known_styles, stop=stop, observe=observe)


def _defaults(model: Model) -> dict[str, Any]:
    return {"guidance": model.spec.guidance_scale, "steps": model.spec.num_inference_steps}


def _begin(request: VideoRequest, model: Model) -> None:
    """Make the first two blocks of a clip and throw them away: every graph of that size is then compiled and warm."""
    latest = 0

    def observe(progress: Progress) -> None:
        nonlocal latest
        latest = progress.block

    with contextlib.suppress(Cancelled):
        for _ in _stream(request, model, None, lambda: latest > 1, observe):
            pass
