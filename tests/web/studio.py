"""Drawn frames and a real encoder, where the app has a model: what a job manager is given in tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.encode import Fragment, InitSegment, Poster, encode
from pipeline.errors import Cancelled
from pipeline.past import Past
from pipeline.progress import NextPrompt, Observe, Progress, Stop, same_prompt
from pipeline.request import VideoRequest

Piece = Poster | InitSegment | Fragment


class Studio:
    """Makes clips of drawn frames, one block of up to 12 frames at a time, as the walk does; can be held at a frame.

    Attributes:
        hold_at: frame before which production waits until `go` is set; None: never waits.
        raise_at: frame before which `error` is raised; None: never.
        made: requests in the order in which they were begun.
        prompts: what `next_prompt` answered before each later block.
    """

    def __init__(self) -> None:
        self.hold_at: int | None = None
        self.raise_at: int | None = None
        self.error: BaseException = MemoryError()
        self.go = threading.Event()
        self.held = threading.Event()
        self.made: list[VideoRequest] = []
        self.prompts: list[str | None] = []

    def produce(
        self,
        request: VideoRequest,
        stop: Stop,
        observe: Observe,
        next_prompt: NextPrompt = same_prompt,
        latents_dir: Path | None = None,
        past: Past | None = None,
    ) -> Iterator[Piece]:
        self.made.append(request)
        if latents_dir is not None:
            latents_dir.mkdir(exist_ok=True)
            (latents_dir / "000000.safetensors").write_bytes(b"latents are the walk's, not the manager's")
        frames = self._frames(request, stop, observe, next_prompt, past.frames if past is not None else 0)
        return encode(
            frames,
            width=request.width,
            height=request.height,
            fps=request.fps,
            settings=request.to_json(),
            observe=observe,
            encoder="libx264",
            past=past,
        )

    def _frames(
        self, request: VideoRequest, stop: Stop, observe: Observe, next_prompt: NextPrompt, first: int
    ) -> Iterator[np.ndarray]:
        num_blocks = 1 + -(-(request.num_frames - 1) // 12)
        columns = np.arange(request.width)[None, :, None] + np.array([0, 60, request.seed % 256])
        for index in range(first, request.num_frames):
            if index == self.raise_at:
                raise self.error
            if index == self.hold_at:
                self.held.set()
                while not self.go.wait(0.005):
                    if stop():
                        raise Cancelled
            if stop():
                raise Cancelled
            block = 0 if index == 0 else 1 + (index - 1) // 12
            if index % 12 == 1:
                self.prompts.append(next_prompt(index))
            if index == 0 or index % 12 == 1:
                for step in range(1, 5):
                    observe(Progress("denoise", block, num_blocks, step, 4, 0))
            frame = np.broadcast_to((columns + 2 * index) % 256, (request.height, request.width, 3)).astype(np.uint8)
            observe(Progress("decode", block, num_blocks, 0, 0, index + 1))
            yield frame[None]
