"""`python -m bench.memory_fit`: measure a small grid of requests here and fit the coefficients of `pipeline.memory`.

Every request runs in a process of its own, because a peak does not go down again. The fit is non-negative least
squares on relative error: a quantity that costs less than nothing is left out. Activations of transformer and VAE grow
together, so that a fit cannot tell them apart: `--held transformer_activations=2.46` fits the others beside one that
was measured by itself, and `--runs FILE` takes the runs of an earlier JSON instead of measuring. `--write` puts the
coefficients into pipeline/coefficients.json, under "cpu" or "cuda"; without it they are only printed.

`--check` fits nothing: it measures twelve points over every size, duration, rate and with guidance on and off, and
holds to them what the page shows before the first run, which is the formula corrected by the warm-up of the start: exit
code 1 where predicted and measured memory differ by more than 10 % anywhere. `--check 3` takes the first three points.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.report import add_save, emit, hardware
from engines.arenas import save_memory
from engines.checkpoint import read_configs
from pipeline import load_model, memory, stream
from pipeline.__main__ import parse_size
from pipeline.encode import Fragment
from pipeline.model import folder_of
from pipeline.request import SIZES, VideoRequest
from web.memory import MemoryMonitor, PeakWatch
from web.prediction import Forecaster
from web.runtime import begin

MAX_ERROR = 0.10
WARM_UP = VideoRequest(prompt="warm up", seed=0)  # as app.py makes it


def _request(
    width: int, height: int, seconds: int, fps: int, guidance_scale: float, steps: int | None = None
) -> VideoRequest:
    return VideoRequest(
        prompt="一只红色的球从左向右移动",
        width=width,
        height=height,
        seconds=seconds,
        fps=fps,
        seed=0,
        guidance_scale=guidance_scale,
        num_inference_steps=steps,
    )


# Every size three times: with and without guidance, short and long, both rates.
CHECKED = tuple(
    _request(width, height, seconds, fps, guidance_scale)
    for seconds, fps, guidance_scale, sizes in (
        (2, 24, 1.0, SIZES),
        (4, 30, 3.0, SIZES),
        (6, 24, 3.0, SIZES[:2]),
        (8, 24, 1.0, SIZES[2:]),
    )
    for width, height in sizes
)


def main() -> None:
    """Measure, fit, print one JSON object."""
    save_memory()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", nargs="+", default=[""], help="several tell apart what grows with weights; default: the embedded one"
    )
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--sizes", type=parse_size, nargs="+", default=[(768, 432), (1024, 576), (1280, 720)])
    parser.add_argument("--seconds", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--steps", type=int, nargs="+", default=[0], help="0: the model's own")
    parser.add_argument("--guidance-scales", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--write", action="store_true", help="into pipeline/coefficients.json")
    parser.add_argument(
        "--check", type=int, nargs="?", const=len(CHECKED), metavar="POINTS", help="hold the predictions to the memory"
    )
    parser.add_argument("--held", type=_held, default={}, metavar="NAME=VALUE", help="a coefficient of memory")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="of an earlier fit")
    parser.add_argument("--one", help="measure this one request (JSON) in this process")
    add_save(parser)
    options = parser.parse_args()
    if options.one:
        print(
            json.dumps(
                _measure(VideoRequest.from_mapping(json.loads(options.one)), options.model[0] or None, options.backend)
            )
        )
        return
    if options.check is not None:
        runs = [_in_a_process(request, options.model[0], options.backend) for request in CHECKED[: options.check]]
        summary = compare(runs)
        emit({"limit": MAX_ERROR, **summary}, runs, options.save)
        raise SystemExit(summary["largest_memory_error"] > MAX_ERROR)
    if options.runs:
        earlier = json.loads(options.runs.read_text(encoding="utf-8"))
        runs, cpu = earlier["runs"], earlier["hardware"]["cpu"]
    else:
        grid = itertools.product(options.model, options.sizes, options.seconds, options.steps, options.guidance_scales)
        cpu = hardware()["cpu"]
        runs = [
            _in_a_process(_request(width, height, seconds, 24, scale, steps or None), source, options.backend)
            for source, (width, height), seconds, steps, scale in grid
        ]
    fitted, errors = fit(runs, options.held)
    kind, backend = ("cuda" if runs[0]["is_gpu"] else "cpu"), runs[0]["backend"]
    fitted["fitted_on"] = backend if kind == "cuda" else f"{cpu}, {backend}"  # a GPU's backend names it
    if options.write:
        coefficients = memory.read_coefficients() | {kind: fitted}
        memory.COEFFICIENTS.write_text(json.dumps(coefficients, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    emit({"kind": kind, "coefficients": fitted, "largest_relative_error": errors}, runs, options.save)


def _held(text: str) -> dict[str, float]:
    name, _, value = text.partition("=")
    return {name: float(value)}


def _in_a_process(request: VideoRequest, source: str, backend: str) -> dict[str, Any]:
    """`_measure` in a process of its own."""
    command = [sys.executable, "-m", "bench.memory_fit", "--one", request.to_json(), "--backend", backend]
    command += ["--model", source] if source else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    run = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(run["measured"]), file=sys.stderr, flush=True)
    return run


def compare(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The largest and the mean relative errors of what was predicted, memory by itself and time by itself."""
    errors = {
        name: [abs(run["predicted"][name] / run["measured"][name] - 1.0) for run in runs]
        for name in ("peak_bytes", "seconds", "first_frame_seconds")
    }
    return {
        "largest_memory_error": round(max(errors["peak_bytes"]), 4),
        "mean_memory_error": round(sum(errors["peak_bytes"]) / len(runs), 4),
        "largest_time_error": round(max(errors["seconds"]), 4),
        "largest_first_frame_error": round(max(errors["first_frame_seconds"]), 4),
    }


def fit(runs: list[dict[str, Any]], held: Mapping[str, float]) -> tuple[dict[str, Any], dict[str, float]]:
    """Coefficients and the largest relative errors, from runs with `memory_terms`, `time_terms` and `measured`.

    Args:
        held: coefficients of memory that are known.
    """
    peaks = np.array([run["measured"]["peak_bytes"] for run in runs], dtype=np.float64)
    by_memory, memory_error = _fit([run["memory_terms"] for run in runs], peaks, held)
    terms = [terms for run in runs for terms in (run["time_terms"], run["first_terms"])]
    times = [run["measured"][name] for run in runs for name in ("seconds", "first_frame_seconds")]
    by_time, time_error = _fit(terms, np.array(times, dtype=np.float64), {})
    return {"memory_bytes": by_memory, "seconds": by_time}, {"memory_bytes": memory_error, "seconds": time_error}


def nonnegative_least_squares(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """x >= 0 that brings a @ x near b: columns that come out negative are left out, the worst one first."""
    kept = list(range(a.shape[1]))
    while True:
        scale = np.abs(a[:, kept]).max(axis=0)  # columns differ by many orders of magnitude
        scale[scale == 0] = 1.0
        x = np.linalg.lstsq(a[:, kept] / scale, b)[0] / scale
        if (x >= 0).all():
            break
        kept.pop(int(np.argmin(x * scale)))
    result = np.zeros(a.shape[1])
    result[kept] = x
    return result


def _fit(
    terms: list[dict[str, float]], measured: NDArray[np.float64], held: Mapping[str, float]
) -> tuple[dict[str, float], float]:
    names = [name for name in terms[0] if name not in held]
    there = np.array([sum(held[name] * row[name] for name in held) for row in terms])
    a = np.array([[row[name] for name in names] for row in terms])
    x = nonnegative_least_squares(a / measured[:, None], (measured - there) / measured)
    error = float(np.abs((a @ x + there) / measured - 1.0).max())
    found = dict(zip(names, (float(f"{value:.6g}") for value in x), strict=True)) | dict(held)
    return {name: found[name] for name in terms[0]}, round(error, 4)


def _measure(request: VideoRequest, source: str | None, backend: str) -> dict[str, Any]:
    """One warm run: its terms, and what it took."""
    model = load_model(source, backend=backend)
    machine, sizes = memory.this_machine(), memory.read_sizes(read_configs(folder_of(source)))
    monitor = MemoryMonitor()
    forecaster = Forecaster(None, model.spec, sizes, model.backend, machine=memory.this_machine, own_bytes=lambda: 0)
    with PeakWatch(monitor) as peak:
        block, late_seconds = begin(WARM_UP, model)
    forecaster.calibrate(WARM_UP, peak.bytes, block, late_seconds)
    told = forecaster.forecast(request)
    begin(dataclasses.replace(WARM_UP, width=request.width, height=request.height, seconds=2), model)
    with PeakWatch(monitor) as peak:
        start = time.perf_counter()
        arrivals = [time.perf_counter() - start for piece in stream(request, model) if isinstance(piece, Fragment)]
    whole, first = memory.time_terms(request, model.spec, sizes)
    predicted = memory.predict(request, model.spec, sizes, machine)
    return {
        "request": json.loads(request.to_json()),
        "backend": model.backend,
        "is_gpu": machine.is_gpu,
        "memory_terms": memory.memory_terms(
            request, model.spec, sizes, machine.weight_bytes, one_at_a_time=predicted.one_at_a_time
        ),
        "time_terms": whole,
        "first_terms": first,
        "predicted": {
            "peak_bytes": told.memory_bytes,
            "seconds": told.seconds,
            "first_frame_seconds": told.first_frame_seconds,
        },
        "measured": {"peak_bytes": peak.bytes, "seconds": arrivals[-1], "first_frame_seconds": arrivals[0]},
    }


if __name__ == "__main__":
    main()
