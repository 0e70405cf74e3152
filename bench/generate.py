"""`python -m bench.generate`: the walk without a browser: first frame, sustained fps, ms a stage, peak memory.

Every run is the walk that a person's job takes, H.264 included, in one process, warm. Sustained fps is that of all
frames behind the first. Stage times are the model thread's own, one after the other; encoding runs beside them.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import defaultdict
from typing import Any

import psutil

from bench.report import add_save, emit, median
from engines.arenas import save_memory
from pipeline.__main__ import parse_size
from pipeline.encode import Fragment
from pipeline.progress import Progress
from pipeline.request import VideoRequest


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=(768, 432), metavar="WxH")
    parser.add_argument(
        "--seconds", type=int, nargs="+", default=[4], help="several: each in its turn, medians by each"
    )
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--denoise-strength", type=float, default=0.75)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--model")
    parser.add_argument("--prompt", default="一只红色的球从左向右移动")
    parser.add_argument("--runs", type=int, default=5)
    add_save(parser)
    options = parser.parse_args()
    save_memory()

    from pipeline import load_model

    begin = time.perf_counter()
    model = load_model(options.model, backend=options.backend)
    load_ms = 1000 * (time.perf_counter() - begin)
    width, height = options.size
    requests = [
        VideoRequest(
            prompt=options.prompt,
            width=width,
            height=height,
            seconds=seconds,
            fps=options.fps,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance_scale,
            denoise_strength=options.denoise_strength,
            seed=0,
        )
        for seconds in options.seconds
    ]
    _run(requests[0], model)  # warm
    runs = [_run(request, model) for _ in range(options.runs) for request in requests]
    by_seconds = {
        str(seconds): {
            name: median(run[name] for run in runs if run["seconds"] == seconds)
            for name in ("first_frame_ms", "sustained_fps", "total_ms", "peak_memory_bytes")
        }
        for seconds in options.seconds
    }
    longest = [run for run in runs if run["seconds"] == max(options.seconds)]
    figures: dict[str, Any] = {
        "first_frame_ms": median(run["first_frame_ms"] for run in longest),
        "sustained_fps": median(run["sustained_fps"] for run in longest),
        "num_frames": longest[0]["num_frames"],
        "peak_memory_bytes": max(run["peak_memory_bytes"] for run in longest),
        "stage_ms": {stage: median(run["stage_ms"][stage] for run in longest) for stage in longest[0]["stage_ms"]},
        "by_seconds": by_seconds,
        "load_ms": round(load_ms),
        "backend": model.backend,
        "model": model.spec.name,
        "size": f"{width}x{height}",
        "fps": options.fps,
        "steps": options.steps or model.spec.num_inference_steps,
        "denoise_strength": options.denoise_strength,
        "guidance_scale": options.guidance_scale or model.spec.guidance_scale,
    }
    emit(figures, runs, options.save)


def _run(request: VideoRequest, model: Any) -> dict[str, Any]:
    from pipeline import stream

    stage_ms: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    with _PeakMemory() as peak:
        begin = last = time.perf_counter()

        def observe(progress: Progress) -> None:
            nonlocal last
            if progress.stage == "encode":
                return  # in the thread of the consumer: it overlaps the others
            now = time.perf_counter()
            name = progress.stage if progress.block or progress.stage == "text" else f"first_{progress.stage}"
            stage_ms[name] += 1000 * (now - last)
            counts[name] += 1
            last = now

        arrivals = [time.perf_counter() for piece in stream(request, model, observe=observe) if type(piece) is Fragment]
    first, end = arrivals[0] - begin, arrivals[-1] - begin
    return {
        "seconds": request.seconds,
        "num_frames": len(arrivals),
        "first_frame_ms": round(1000 * first, 1),
        "sustained_fps": round((len(arrivals) - 1) / (end - first), 2),
        "total_ms": round(1000 * end, 1),
        "peak_memory_bytes": peak.bytes,
        "stage_ms": {name: round(stage_ms[name] / counts[name], 2) for name in stage_ms},
    }


class _PeakMemory:
    """Largest resident size of this process while inside, read 50 times a second; on a GPU, its allocator's peak."""

    def __enter__(self) -> _PeakMemory:
        import torch

        self.bytes = 0
        self._done = threading.Event()
        self._cuda = torch.cuda if torch.cuda.is_available() else None
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if self._cuda is not None:
            self.bytes = self._cuda.max_memory_allocated()


if __name__ == "__main__":
    main()
