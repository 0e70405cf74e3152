"""The shipped page and routes in front of drawn frames: `python -m tests.browser.server --port N --jobs-dir DIR`.

Everything is the shipped code, the encoder included; only the model is replaced, by frames whose number can be read
from their pixels. The prompt sets the pace: "fps=12" frames a second, "fail=20" raises before frame 20.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

import styles
from engines.gpu import Reason
from pipeline.encode import Fragment, InitSegment, Poster, encode
from pipeline.errors import Cancelled, WanError
from pipeline.past import Past
from pipeline.progress import NextPrompt, Observe, Progress, Stop
from pipeline.request import VideoRequest
from pipeline.tokens import Fit
from web import checklist, service
from web.checklist import Check
from web.prediction import Forecast, judge
from web.shelf import StyleShelf

BLOCK_FRAMES = 12
STEPS = 4
TOKENIZER = Path(__file__).parents[2] / "assets" / "embedded" / "tokenizer" / "tokenizer.json"
MAX_TOKENS = 128
DENOISE_SHARE = 0.6  # of a block's time; the rest is decoding, four frames at a time


class Drawn:
    """A backend for `web.service` that draws."""

    has_gpu = False

    def __init__(self, jobs_dir: Path) -> None:
        self._gone = jobs_dir / "no engines"

    def start(self, then: Callable[[], None]) -> None:
        then()

    @property
    def building_percent(self) -> int | None:
        """Half done, from a rebuild until it is stopped."""
        return 50 if self._gone.exists() else None

    def rebuild(self) -> bool:
        was_there = not self._gone.exists()
        self._gone.touch()
        return was_there

    def stop_building(self) -> None:
        self._gone.unlink(missing_ok=True)

    def checks(self, jobs_dir: Path) -> list[Check]:
        reason = Reason("no NVIDIA GPU", "没有 NVIDIA GPU")
        return [
            checklist.driver(None),
            checklist.tensorrt(False, "numpy", reason, None, None),
            checklist.encoder("libx264", "", False, False),
            checklist.model("drawn", "numpy", None, None),
            checklist.disk(jobs_dir),
        ]

    def forecast(self, request: VideoRequest) -> Forecast:
        """As if a pixel took 500 bytes, and a frame two seconds at 1280×720, on a machine of 512 MB."""
        needed, available = request.width * request.height * 500, 512_000_000
        seconds = 2.0 * request.num_frames * request.width * request.height / (1280 * 720)
        level, reason = judge(needed, available, seconds * request.batch_size)
        return Forecast(needed, available, seconds, 0.3, level, reason, 0, "a desk")

    def allocator(self) -> None:
        return None

    def produce(
        self,
        request: VideoRequest,
        stop: Stop,
        observe: Observe,
        next_prompt: NextPrompt,
        latents_dir: Path,
        past: Past | None,
    ) -> Iterator[Poster | InitSegment | Fragment]:
        latents_dir.mkdir(exist_ok=True)
        frames = draw(request, stop, observe, next_prompt, past.frames if past is not None else 0)
        return encode(frames, width=request.width, height=request.height, fps=request.fps, observe=observe, past=past)

    def fit(self, text: str) -> Fit:
        """By the shipped tokenizer, without torch, which would take longer to import than a test lasts."""
        offsets = self._tokenizer.encode(text).offsets
        kept = max((end for _, end in offsets[: MAX_TOKENS - 1]), default=0)
        return Fit(len(offsets), MAX_TOKENS, kept if len(offsets) > MAX_TOKENS else len(text))

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(TOKENIZER))

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


def draw(
    request: VideoRequest, stop: Stop, observe: Observe, next_prompt: NextPrompt, first: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Frames in the rhythm of the walk: a block is denoised, then its frames come four at a time.

    A new prompt may set another pace, from the next block on.
    """
    rate = _number(request.prompt, "fps") or 24
    fail = _number(request.prompt, "fail")
    num_blocks = 1 + -(-(request.num_frames - 1) // BLOCK_FRAMES)
    index = first
    for block in range(num_blocks):
        if index >= 1 + BLOCK_FRAMES * block:
            continue
        changed = next_prompt(index) if block else None
        rate = rate if changed is None else _number(changed, "fps") or 24
        left = min(1 + BLOCK_FRAMES * block, request.num_frames) - index
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
    shelf = StyleShelf(styles.load_styles())
    service.start(Drawn(args.jobs_dir), jobs_dir=args.jobs_dir, shelf=shelf, port=args.port).wait()


if __name__ == "__main__":
    main()
