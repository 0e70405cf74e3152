"""The model and its machine, with a real tiny model: engines made anew under running jobs, forecasts, the checklist."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines.gpu import Gpu, Reason
from pipeline import Model, load_model
from pipeline.encode import Fragment
from pipeline.errors import Cancelled, EncoderError, EngineError
from pipeline.progress import Stop, ignore, never
from pipeline.request import VideoRequest
from web import checklist
from web.runtime import Runtime

CLIP = VideoRequest(prompt="猫", seconds=2, seed=5, num_inference_steps=1)
WAIT_S = 60.0


class Loading:
    """`load_model` of the tiny checkpoint, which can be held, and made to fail."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.go = threading.Event()
        self.go.set()
        self.fail = False
        self.times = 0

    def __call__(self, stop: Stop) -> Model:
        self.times += 1
        while not self.go.wait(0.01):
            if stop():
                raise EngineError("the build of the engines was stopped")
        if self.fail:
            raise EngineError("engine transformer: refused")
        return load_model(self.folder, backend="torch")


@pytest.fixture
def loading(tiny_folder: Path) -> Loading:
    return Loading(tiny_folder)


@pytest.fixture
def cleared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the cache was cleared; the project's own stays."""
    seen: list[str] = []
    monkeypatch.setattr("engines.cache.clear", lambda: seen.append("cleared"))
    return seen


@pytest.fixture
def runtime(loading: Loading, tmp_path: Path) -> Iterator[Runtime]:
    made = Runtime(loading, VideoRequest(prompt="warm up", seed=0), learnt=tmp_path / "measured.json")
    ended = threading.Event()
    made.start(ended.set)
    assert ended.wait(WAIT_S)
    assert made.status()["ready"], made.status()
    yield made
    loading.go.set()


def until(said: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_engines_are_made_anew_after_the_clip_that_runs_and_before_the_next(
    runtime: Runtime, loading: Loading, cleared: list[str]
) -> None:
    running = runtime.produce(CLIP, never, ignore)
    next(running)
    assert runtime.rebuild()
    assert not runtime.rebuild(), "it is under way"
    assert not runtime.status()["ready"]
    assert sum(isinstance(piece, Fragment) for piece in running) == 48
    loading.go.clear()
    until(lambda: runtime.status()["model"] == "" or runtime.status()["ready"])
    made: list[int] = []
    waiting = threading.Thread(
        target=lambda: made.append(sum(isinstance(p, Fragment) for p in runtime.produce(CLIP, never, ignore)))
    )
    loading.go.set()
    waiting.start()
    waiting.join(WAIT_S)
    assert made == [48]
    assert (cleared, loading.times) == (["cleared"], 2)
    assert runtime.status()["ready"]


def test_a_job_that_waits_for_engines_can_be_cancelled(runtime: Runtime, loading: Loading, cleared: list[str]) -> None:
    loading.go.clear()
    assert runtime.rebuild()
    until(lambda: cleared)
    assert runtime.forecast(CLIP) is None
    with pytest.raises(Cancelled):
        next(runtime.produce(CLIP, lambda: True, ignore))
    runtime.stop_building()
    until(lambda: runtime.status()["stage"] == "failed")
    assert "stopped" in runtime.status()["stage_en"]
    loading.go.set()
    assert runtime.rebuild(), "after a failure it can be tried again"
    until(lambda: runtime.status()["ready"])


def test_a_model_that_does_not_come_back_says_so_and_the_next_try_may(
    runtime: Runtime, loading: Loading, cleared: list[str]
) -> None:
    loading.fail = True
    assert runtime.rebuild()
    until(lambda: runtime.status()["stage"] == "failed")
    assert cleared
    fault = next(check for check in runtime.checks(loading.folder) if check.key == "model")
    assert (fault.level, fault.found_en) == ("fault", "engine transformer: refused")
    assert "--model" in fault.cure_en
    loading.fail = False
    assert runtime.rebuild()
    until(lambda: runtime.status()["ready"])


def test_a_whole_clip_is_learnt_from_and_a_part_of_one_is_not(runtime: Runtime) -> None:
    before = runtime.forecast(CLIP)
    assert before
    assert before.runs == 0
    part = runtime.produce(CLIP, never, ignore)
    next(part)
    part.close()
    begin = time.perf_counter()
    assert sum(isinstance(piece, Fragment) for piece in runtime.produce(CLIP, never, ignore)) == 48
    took = time.perf_counter() - begin
    after = runtime.forecast(CLIP)
    assert after
    assert after.runs == 1
    assert after.seconds == pytest.approx(took, rel=0.35)
    assert 0 < after.first_frame_seconds < after.seconds
    assert after.memory_bytes > 100_000_000


def test_the_allocators_figures_are_told_on_a_gpu_alone(runtime: Runtime) -> None:
    import torch

    assert (runtime.allocator() is None) is not torch.cuda.is_available()


# -- the checklist -----------------------------------------------------------------------------------------------------

OLD, NEW = Gpu("RTX 4090", (535, 54, 2), (8, 9)), Gpu("RTX 4090", (550, 1), (8, 9))


def test_every_item_is_there_and_has_a_cure_where_it_is_not_in_order(runtime: Runtime, tmp_path: Path) -> None:
    checks = runtime.checks(tmp_path)
    assert [check.key for check in checks] == ["driver", "tensorrt", "encoder", "model", "disk"]
    for check in checks:
        assert check.found_en
        assert check.found_zh
        assert bool(check.cure_en) == bool(check.cure_zh) == (check.level != "ok"), check


@pytest.mark.parametrize(
    ("check", "level", "said"),
    [
        (checklist.driver(None), "note", "nvidia-smi"),
        (checklist.driver(OLD), "note", "Update the driver to 535.54.03"),
        (checklist.driver(NEW), "ok", ""),
        (checklist.tensorrt(True, "TensorRT-RTX 1.6.1", None, NEW, None), "ok", ""),
        (checklist.tensorrt(False, "", None, NEW, 40), "busy", "Only once"),
        (checklist.tensorrt(False, "", Reason("no NVIDIA GPU", "没有"), None, 40), "note", "Nothing to do"),
        (checklist.tensorrt(False, "eager", Reason("pip install x", "x"), NEW, None), "note", "requirements-trt.txt"),
        (checklist.tensorrt(False, "eager", Reason("driver 535.54.2 is old", "x"), OLD, None), "note", "see above"),
        (checklist.tensorrt(False, "eager", Reason("refused", "x"), NEW, None), "note", "Press Rebuild engines"),
        (checklist.encoder("", "", False, False), "busy", ""),
        (checklist.encoder("libx264", "", False, False), "ok", ""),
        (checklist.encoder("libx264", "no NVENC", True, False), "note", "NVIDIA_DRIVER_CAPABILITIES"),
        (checklist.encoder("", "", True, True), "fault", "--force-reinstall av"),
        (checklist.model("", "", None, None), "busy", ""),
        (checklist.model("tiny", "eager", None, None), "ok", ""),
        (checklist.model("tiny", "eager", None, Reason("stopped", "已停止")), "note", "Rebuild engines"),
        (checklist.model("", "", EncoderError("x"), None), "fault", "--model"),
    ],
)
def test_what_is_found_decides_the_level_and_the_cure(check: checklist.Check, level: str, said: str) -> None:
    assert check.level == level
    assert said in check.cure_en


@pytest.mark.parametrize(("free", "level"), [(900_000_000, "fault"), (4_000_000_000, "note"), (6_000_000_000, "ok")])
def test_a_disk_that_gets_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    check = checklist.disk(tmp_path)
    assert check.level == level
    assert ("--jobs-dir" in check.cure_en) == (level != "ok")


def test_a_folder_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    assert checklist.disk(tmp_path / "gone").level == "fault"
