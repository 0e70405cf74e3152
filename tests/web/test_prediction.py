"""What a clip will take: the formula before the first run, what was measured here afterwards, and the verdict."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from engines.checkpoint import read_configs
from pipeline import memory
from pipeline.errors import RequestError
from pipeline.request import SECONDS, SIZES, VideoRequest
from pipeline.spec import Spec, read_spec
from web.prediction import MAX_RUNS, Forecaster, fit_factors, judge

GB = 10**9
CLIP = VideoRequest(prompt="x", width=768, height=432, seconds=4)
GRID = [
    dataclasses.replace(CLIP, width=width, height=height, seconds=seconds, guidance_scale=scale)
    for (width, height), seconds, scale in itertools.product(SIZES, SECONDS, (1.0, 3.0))
]


@pytest.fixture(scope="module")
def setup(tiny_folder: Path) -> tuple[Spec, memory.Sizes]:
    configs = read_configs(tiny_folder)
    return read_spec(configs), memory.read_sizes(configs)


class Host:
    """A machine whose free memory a test may set."""

    free_bytes = 16 * GB
    own_bytes = 1 * GB

    def __call__(self) -> memory.Machine:
        return memory.Machine("CPU", False, self.free_bytes, 32 * GB, 4)


@pytest.fixture
def host() -> Host:
    return Host()


def forecaster(file: Path, setup: tuple[Spec, memory.Sizes], host: Host, label: str = "OpenVINO") -> Forecaster:
    return Forecaster(file, *setup, label, machine=host, own_bytes=lambda: host.own_bytes)


def seconds_of(
    setup: tuple[Spec, memory.Sizes], request: VideoRequest, slower: dict[str, float]
) -> tuple[float, float]:
    """What another machine takes: the formula with other coefficients."""
    prior = memory.read_coefficients()["cpu"]["seconds"]
    whole, first = (
        sum(prior[name] * slower.get(name, 1.0) * value for name, value in terms.items())
        for terms in memory.time_terms(request, *setup)
    )
    return whole, first


def test_before_the_first_run_it_is_the_formula_and_says_so(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    told = forecaster(tmp_path / "measured.json", setup, host).forecast(CLIP)
    plain = memory.predict(CLIP, *setup, host())
    assert (told.memory_bytes, told.runs, told.fitted_on) == (plain.memory_bytes, 0, plain.fitted_on)
    assert told.seconds == pytest.approx(plain.seconds, abs=1e-3)
    assert told.first_frame_seconds == pytest.approx(plain.first_frame_seconds, abs=1e-3)
    assert told.available_bytes == 17 * GB
    assert list(tmp_path.iterdir()) == []


def test_one_run_moves_every_forecast_towards_this_machine(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    made = forecaster(tmp_path / "measured.json", setup, host)
    slower = dict.fromkeys(memory.read_coefficients()["cpu"]["seconds"], 3.0)
    made.learn(CLIP, *seconds_of(setup, CLIP, slower), peak_bytes=2 * GB)
    for request in GRID:
        told = made.forecast(request)
        assert told.runs == 1
        assert told.seconds == pytest.approx(seconds_of(setup, request, slower)[0], rel=0.02)


def test_a_few_different_runs_tell_what_is_slow_here(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    made = forecaster(tmp_path / "measured.json", setup, host)
    slower = {"vae_gpixel": 4.0, "linear_tflop": 0.5, "forwards": 2.0}
    worst_before = worst(made, setup, slower)
    for request in GRID[::5]:
        made.learn(request, *seconds_of(setup, request, slower), peak_bytes=2 * GB)
    assert worst_before > 0.5
    assert worst(made, setup, slower) < 0.1


def worst(made: Forecaster, setup: tuple[Spec, memory.Sizes], slower: dict[str, float]) -> float:
    return max(abs(made.forecast(request).seconds / seconds_of(setup, request, slower)[0] - 1) for request in GRID)


def test_a_run_beside_other_work_counts_little(tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host) -> None:
    made = forecaster(tmp_path / "measured.json", setup, host)
    slower = {"vae_gpixel": 2.0}
    for request in GRID[::4]:
        made.learn(request, *seconds_of(setup, request, slower), peak_bytes=2 * GB)
    whole, first = seconds_of(setup, CLIP, slower)
    made.learn(CLIP, 5 * whole, 5 * first, peak_bytes=2 * GB)
    assert worst(made, setup, slower) < 0.15


def test_factors_are_never_negative() -> None:
    terms = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    assert (fit_factors(terms, np.array([3.0, 2.0, 1.0]), np.ones(3)) >= 0).all()


def test_memory_beyond_the_formula_is_learnt_from_runs_that_reach_a_new_height(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    made = forecaster(tmp_path / "measured.json", setup, host)
    large = dataclasses.replace(CLIP, width=1280, height=720)
    before = {request: made.forecast(request).memory_bytes for request in (CLIP, large)}
    for request in (CLIP, large):
        made.learn(request, 4.0, 0.4, peak_bytes=before[request] + 200_000_000)
    made.learn(CLIP, 4.0, 0.4, peak_bytes=before[large] + 200_000_000)  # what the large one left behind
    for request in (CLIP, large):
        assert made.forecast(request).memory_bytes == before[request] + 200_000_000


def test_the_warm_up_corrects_memory_before_the_first_run(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    made = forecaster(tmp_path / "measured.json", setup, host)
    before = {request: made.forecast(request).memory_bytes for request in GRID}
    made.calibrate(CLIP, before[dataclasses.replace(CLIP, guidance_scale=1.0)] + 150_000_000, 1, 0.0)
    for request in GRID:
        assert made.forecast(request).memory_bytes == before[request] + 150_000_000
    assert made.forecast(CLIP).runs == 0
    assert list(tmp_path.iterdir()) == []
    made.calibrate(CLIP, 1_000_000, 1, 0.0)
    assert {request: made.forecast(request).memory_bytes for request in GRID} == before, (
        "the beginning is a lower bound"
    )


def test_the_warm_up_tells_how_fast_the_machine_is_before_the_first_run(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    spec, sizes = setup
    made = forecaster(tmp_path / "measured.json", setup, host)
    before = {request: made.forecast(request) for request in GRID}
    prior = memory.read_coefficients()["cpu"]["seconds"]
    late = memory.late_terms(CLIP, spec, sizes, 1)
    made.calibrate(CLIP, 1_000_000, 1, 3.0 * sum(prior[name] * value for name, value in late.items()))
    for request, told in before.items():
        now = made.forecast(request)
        assert now.seconds == pytest.approx(3.0 * told.seconds, abs=0.01)
        assert now.first_frame_seconds == pytest.approx(3.0 * told.first_frame_seconds, abs=0.01)
    clip = GRID[0]
    for _ in range(9):
        made.learn(clip, before[clip].seconds, before[clip].first_frame_seconds, peak_bytes=1)
    assert made.forecast(clip).seconds == pytest.approx(before[clip].seconds, rel=0.02), "what was made here knows more"


def test_it_is_kept_small_by_model_backend_and_machine(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    file = tmp_path / "measured.json"
    made = forecaster(file, setup, host)
    for i in range(MAX_RUNS + 9):
        made.learn(CLIP, 4.0 + i / 100, 0.4, peak_bytes=2 * GB)
    again = forecaster(file, setup, host)
    assert again.forecast(CLIP) == made.forecast(CLIP)
    assert again.forecast(CLIP).runs == MAX_RUNS
    assert forecaster(file, setup, host, "PyTorch").forecast(CLIP).runs == 0
    for i in range(20):
        forecaster(file, setup, host, f"backend {i}").learn(CLIP, 4.0, 0.4, peak_bytes=2 * GB)
    assert len(json.loads(file.read_text(encoding="utf-8"))) == 8
    assert file.stat().st_size < 40_000


@pytest.mark.parametrize("content", ["", "[]", '{"a": [{}]}', '{"a": [{"settings": {"fps": 7}}]}', '{"a": 5}'])
def test_a_damaged_file_begins_anew(tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host, content: str) -> None:
    file = tmp_path / "measured.json"
    file.write_text(content, encoding="utf-8")
    made = forecaster(file, setup, host)
    assert made.forecast(CLIP).runs == 0
    made.learn(CLIP, 4.0, 0.4, peak_bytes=2 * GB)
    assert forecaster(file, setup, host).forecast(CLIP).runs == 1


def test_a_disk_that_refuses_does_not_end_the_clip(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    made = forecaster(tmp_path / "gone" / "measured.json", setup, host)
    made.learn(CLIP, 4.0, 0.4, peak_bytes=2 * GB)
    assert made.forecast(CLIP).runs == 1


@pytest.mark.parametrize(
    ("needed", "seconds", "level", "reason"),
    [
        (5 * GB, 100, "green", ""),
        (9 * GB, 100, "amber", "memory"),
        (5 * GB, 200, "amber", "time"),
        (9 * GB, 200, "amber", "memory"),
        (5 * GB, 3600, "red", "time"),
        (9 * GB, 3600, "red", "time"),
        (11 * GB, 1, "red", "memory"),
        (11 * GB, 3600, "red", "memory"),
    ],
)
def test_the_verdict(needed: int, seconds: float, level: str, reason: str) -> None:
    assert judge(needed, 10 * GB, seconds) == (level, reason)


def test_what_this_process_has_already_is_available_to_it(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    made = forecaster(tmp_path / "measured.json", setup, host)
    needed = made.forecast(CLIP).memory_bytes
    host.free_bytes, host.own_bytes = 10_000_000, needed
    assert made.forecast(CLIP).level == "amber"
    host.own_bytes = needed - 20_000_000
    assert (made.forecast(CLIP).level, made.forecast(CLIP).reason) == ("red", "memory")


def test_a_batch_takes_its_clips_together(tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host) -> None:
    made = forecaster(tmp_path / "measured.json", setup, host)
    made.learn(CLIP, 40.0, 1.0, peak_bytes=2 * GB)
    one, four = (made.forecast(dataclasses.replace(CLIP, batch_size=n)) for n in (1, 4))
    assert one.seconds == four.seconds
    assert (one.level, four.level) == ("green", "amber")


def test_steps_that_a_student_does_not_have_are_refused(
    tmp_path: Path, setup: tuple[Spec, memory.Sizes], host: Host
) -> None:
    spec = dataclasses.replace(setup[0], timesteps=(1000, 500))
    made = forecaster(tmp_path / "measured.json", (spec, setup[1]), host)
    with pytest.raises(RequestError):
        made.forecast(dataclasses.replace(CLIP, num_inference_steps=9))
