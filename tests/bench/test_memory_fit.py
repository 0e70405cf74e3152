"""The fit finds the coefficients that made the figures, and never a negative one."""

from __future__ import annotations

import numpy as np

from bench.memory_fit import CHECKED, compare, fit, nonnegative_least_squares
from pipeline.request import FPS, SECONDS, SIZES


def test_fit_recovers_coefficients_of_very_different_sizes() -> None:
    generator = np.random.default_rng(0)
    memory, seconds = {"fixed": 6e8, "weights": 2.0, "kv_cache": 1.0}, {"fixed": 0.1, "linear_tflop": 0.5}

    def terms(coefficients: dict[str, float]) -> tuple[dict[str, float], float]:
        row = {name: 1.0 if name == "fixed" else float(generator.uniform(1, 9)) * 10**8 for name in coefficients}
        row |= {name: value / 1e8 for name, value in row.items() if name == "linear_tflop"}
        return row, sum(coefficients[name] * value for name, value in row.items())

    runs = []
    for _ in range(8):
        (of_memory, peak), (whole, total), (first, begin) = terms(memory), terms(seconds), terms(seconds)
        measured = {"peak_bytes": peak, "seconds": total, "first_frame_seconds": begin}
        runs.append({"memory_terms": of_memory, "time_terms": whole, "first_terms": first, "measured": measured})
    fitted, errors = fit(runs, {})
    for name, value in memory.items():
        np.testing.assert_allclose(fitted["memory_bytes"][name], value, rtol=1e-4)
    for name, value in seconds.items():
        np.testing.assert_allclose(fitted["seconds"][name], value, rtol=1e-4)
    assert max(errors.values()) <= 1e-4
    beside, errors = fit(runs, {"weights": memory["weights"]})
    assert beside["memory_bytes"]["weights"] == memory["weights"]
    np.testing.assert_allclose(beside["memory_bytes"]["kv_cache"], memory["kv_cache"], rtol=1e-4)
    wrong, errors = fit(runs, {"weights": 5.0})
    assert wrong["memory_bytes"]["weights"] == 5.0
    assert errors["memory_bytes"] > 0.01


def test_what_would_be_negative_is_left_out() -> None:
    x = nonnegative_least_squares(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]), np.array([3.0, 2.0, 1.0]))
    assert x[1] == 0.0
    np.testing.assert_allclose(x[0], 2.0)


def test_the_check_covers_what_is_offered_and_tells_the_largest_error() -> None:
    assert len(CHECKED) == 12
    assert {(request.width, request.height) for request in CHECKED} == set(SIZES)
    assert {request.seconds for request in CHECKED} == set(SECONDS)
    assert {request.fps for request in CHECKED} == set(FPS)
    assert {request.guidance_scale for request in CHECKED} == {1.0, 3.0}
    names = ("peak_bytes", "seconds", "first_frame_seconds")
    runs = [
        {"measured": dict.fromkeys(names, 100.0), "predicted": dict(zip(names, predicted, strict=True))}
        for predicted in ((104.0, 100.0, 150.0), (88.0, 130.0, 90.0))
    ]
    assert compare(runs) == {
        "largest_memory_error": 0.12,
        "mean_memory_error": 0.08,
        "largest_time_error": 0.3,
        "largest_first_frame_error": 0.5,
    }
