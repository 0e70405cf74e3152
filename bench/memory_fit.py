"""`python -m bench.memory_fit`: measure a small grid of requests here and fit the coefficients of `pipeline.memory`.

Every request runs in a process of its own, because a peak does not go down again. The fit is non-negative least
squares on relative error: a quantity that costs less than nothing is left out. `--write` puts the coefficients into
pipeline/coefficients.json, under "cpu" or "cuda"; without it they are only printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from bench.report import add_save, emit, hardware
from pipeline import memory
from pipeline.__main__ import parse_size
from pipeline.request import VideoRequest


def main() -> None:
    """Measure, fit, print one JSON object."""
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
    grid = itertools.product(options.model, options.sizes, options.seconds, options.steps, options.guidance_scales)
    runs: list[dict[str, Any]] = []
    for source, (width, height), seconds, steps, guidance_scale in grid:
        request = VideoRequest(
            prompt="一只红色的球从左向右移动",
            width=width,
            height=height,
            seconds=seconds,
            seed=0,
            guidance_scale=guidance_scale,
            num_inference_steps=steps or None,
        )
        command = [sys.executable, "-m", "bench.memory_fit", "--one", request.to_json(), "--backend", options.backend]
        command += ["--model", source] if source else []
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(runs[-1]["measured"]), file=sys.stderr, flush=True)
    fitted, errors = fit(runs)
    kind = "cuda" if runs[0]["is_gpu"] else "cpu"
    fitted["fitted_on"] = f"{(hardware()['gpus'] or [hardware()['cpu']])[0]}, {runs[0]['backend']}"
    if options.write:
        coefficients = memory.read_coefficients() | {kind: fitted}
        memory.COEFFICIENTS.write_text(json.dumps(coefficients, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    emit({"kind": kind, "coefficients": fitted, "largest_relative_error": errors}, runs, options.save)


def fit(runs: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, float]]:
    """Coefficients and the largest relative errors, from runs with `memory_terms`, `time_terms` and `measured`."""
    peaks = np.array([run["measured"]["peak_bytes"] for run in runs], dtype=np.float64)
    by_memory, memory_error = _fit([run["memory_terms"] for run in runs], peaks)
    terms = [terms for run in runs for terms in (run["time_terms"], run["first_terms"])]
    times = [run["measured"][name] for run in runs for name in ("seconds", "first_frame_seconds")]
    by_time, time_error = _fit(terms, np.array(times, dtype=np.float64))
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


def _fit(terms: list[dict[str, float]], measured: NDArray[np.float64]) -> tuple[dict[str, float], float]:
    names = list(terms[0])
    a = np.array([[row[name] for name in names] for row in terms])
    x = nonnegative_least_squares(a / measured[:, None], np.ones_like(measured))
    error = float(np.abs(a @ x / measured - 1.0).max())
    return dict(zip(names, (float(f"{value:.6g}") for value in x), strict=True)), round(error, 4)


def _measure(request: VideoRequest, source: str | None, backend: str) -> dict[str, Any]:
    """One warm run: its terms, and what it took."""
    from engines.checkpoint import read_configs
    from pipeline import load_model, stream
    from pipeline.encode import Fragment
    from pipeline.model import folder_of

    model = load_model(source, backend=backend)
    machine, sizes = memory.this_machine(), memory.read_sizes(read_configs(folder_of(source)))
    warm = VideoRequest(prompt="x", width=request.width, height=request.height, seconds=2, seed=0)
    for piece in stream(warm, model):
        if isinstance(piece, Fragment) and piece.index >= 5:
            break
    with Peak(machine.is_gpu) as peak:
        begin = time.perf_counter()
        arrivals = [time.perf_counter() - begin for piece in stream(request, model) if isinstance(piece, Fragment)]
    whole, first = memory.time_terms(request, model.spec, sizes)
    one_at_a_time = memory.predict(request, model.spec, sizes, machine).one_at_a_time
    return {
        "request": json.loads(request.to_json()),
        "backend": model.backend,
        "is_gpu": machine.is_gpu,
        "memory_terms": memory.memory_terms(
            request, model.spec, sizes, machine.weight_bytes, one_at_a_time=one_at_a_time
        ),
        "time_terms": whole,
        "first_terms": first,
        "measured": {"peak_bytes": peak.bytes, "seconds": arrivals[-1], "first_frame_seconds": arrivals[0]},
    }


class Peak:
    """Largest use of memory while inside: this process's resident size, or the whole GPU's as NVML shows it."""

    def __init__(self, is_gpu: bool) -> None:
        self._is_gpu = is_gpu
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, _gpu_bytes() if self._is_gpu else process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def _gpu_bytes() -> int:
    import torch

    free, total = torch.cuda.mem_get_info()
    return total - free


if __name__ == "__main__":
    main()
