"""Drawn frames and a real encoder, where the app has a model: what a job manager is given in tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from pipeline.encode import Fragment, InitSegment, Poster, encode
from pipeline.errors import Cancelled
from pipeline.progress import Observe, Progress, Stop
from pipeline.request import VideoRequest

Piece = Poster | InitSegment | Fragment


class Studio:
    """Makes clips of drawn frames, one block of up to 12 frames at a time, as the walk does; can be held at a frame.

    Attributes:
        hold_at: frame before which production waits until `go` is set; None: never waits.
        raise_at: frame before which `error` is raised; None: never.
        made: requests in the order in which they were begun.
    """

    def __init__(self) -> None:
        self.hold_at: int | None = None
        self.raise_at: int | None = None
        self.error: BaseException = MemoryError()
        self.go = threading.Event()
        self.held = threading.Event()
        self.made: list[VideoRequest] = []

    def produce(self, request: VideoRequest, stop: Stop, observe: Observe) -> Iterator[Piece]:
        self.made.append(request)
        frames = self._frames(request, stop, observe)
        return encode(
            frames,
            width=request.width,
            height=request.height,
            fps=request.fps,
            settings=request.to_json(),
            observe=observe,
            encoder="libx264",
        )

    def _frames(self, request: VideoRequest, stop: Stop, observe: Observe) -> Iterator[np.ndarray]:
        num_blocks = 1 + -(-(request.num_frames - 1) // 12)
        columns = np.arange(request.width)[None, :, None] + np.array([0, 60, request.seed % 256])
        for index in range(request.num_frames):
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
            if index == 0 or index % 12 == 1:
                for step in range(1, 5):
                    observe(Progress("denoise", block, num_blocks, step, 4, 0))
            frame = np.broadcast_to((columns + 2 * index) % 256, (request.height, request.width, 3)).astype(np.uint8)
            observe(Progress("decode", block, num_blocks, 0, 0, index + 1))
            yield frame[None]
