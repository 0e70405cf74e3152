"""The shipped page and routes in front of drawn frames: `python -m tests.browser.server --port N --jobs-dir DIR`.

Everything is the shipped code, the encoder included; only the model is replaced, by frames whose number can be read
from their pixels. The prompt sets the pace: "fps=12" frames a second, "fail=20" raises before frame 20.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import styles
from pipeline.encode import Fragment, InitSegment, Poster, encode
from pipeline.errors import Cancelled, WanError
from pipeline.progress import Observe, Progress, Stop
from pipeline.request import VideoRequest
from web import service

BLOCK_FRAMES = 12
STEPS = 4
DENOISE_SHARE = 0.6  # of a block's time; the rest is decoding, four frames at a time


class Drawn:
    """A backend for `web.service` that draws."""

    has_gpu = False

    def start(self, then: Callable[[], None]) -> None:
        then()

    def produce(self, request: VideoRequest, stop: Stop, observe: Observe) -> Iterator[Poster | InitSegment | Fragment]:
        frames = draw(request, stop, observe)
        return encode(frames, width=request.width, height=request.height, fps=request.fps, observe=observe)

    def status(self) -> dict[str, Any]:
        return {
            "model": "drawn",
            "backend": "numpy",
            "gpu": "",
            "encoder": "libx264",
            "trt": {"on": False, "reason_en": "no NVIDIA GPU", "reason_zh": "没有 NVIDIA GPU"},
            "defaults": {"guidance": 1.0, "steps": STEPS},
            "ready": True,
            "stage": "ready",
            "stage_en": "Ready",
            "stage_zh": "就绪",
        }


def draw(request: VideoRequest, stop: Stop, observe: Observe) -> Iterator[NDArray[np.uint8]]:
    """Frames in the rhythm of the walk: a block is denoised, then its frames come four at a time."""
    rate = _number(request.prompt, "fps") or 24
    fail = _number(request.prompt, "fail")
    num_blocks = 1 + -(-(request.num_frames - 1) // BLOCK_FRAMES)
    index = 0
    for block in range(num_blocks):
        left = min(1 if block == 0 else BLOCK_FRAMES, request.num_frames - index)
        for step in range(1, STEPS + 1):
            time.sleep(left / rate * DENOISE_SHARE / STEPS)
            if stop():
                raise Cancelled
            observe(Progress("denoise", block, num_blocks, step, STEPS, index))
        while left:
            count = min(4, left)
            time.sleep(count / rate * (1 - DENOISE_SHARE))
            pixels = np.stack([picture(request, index + i) for i in range(count)])
            if fail is not None and index + count > fail:
                raise WanError("drawn to fail")
            index, left = index + count, left - count
            observe(Progress("decode", block, num_blocks, 0, 0, index))
            yield pixels


def picture(request: VideoRequest, index: int) -> NDArray[np.uint8]:
    """A slope of grey that moves, and the frame's number as eight white or black squares in the upper left corner."""
    slope = (np.arange(request.width) + 3 * index) % 256
    frame = np.broadcast_to(slope[None, :, None], (request.height, request.width, 3)).astype(np.uint8)
    for bit in range(8):
        frame[0:32, 32 * bit : 32 * bit + 32] = 255 if index >> bit & 1 else 0
    return frame


def _number(prompt: str, name: str) -> float | None:
    found = re.search(rf"\b{name}=(\d+)", prompt)
    return float(found[1]) if found else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jobs-dir", type=Path, required=True)
    args = parser.parse_args()
    service.start(Drawn(), jobs_dir=args.jobs_dir, known_styles=styles.load_styles(), port=args.port).wait()


if __name__ == "__main__":
    main()
