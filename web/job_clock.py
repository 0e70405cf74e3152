"""When things happened to a job, and what follows from it: marks, the rate of generation, the time that is left.

Owns the clock of one job; counts no frames itself.
"""

from __future__ import annotations

import time


class JobClock:
    """Milliseconds since the submission arrived.

    Args:
        arrived_s: `time.perf_counter()` of that moment.

    Attributes:
        marks_ms: what was reached, and when.
        last_fragment_ms: when the newest frame was in the log; None before the first.
    """

    def __init__(self, arrived_s: float) -> None:
        self._arrived_s = arrived_s
        self.marks_ms: dict[str, float] = {}
        self.last_fragment_ms: float | None = None

    def mark(self, name: str) -> None:
        """Note that something was reached; only the first time counts."""
        self.marks_ms.setdefault(name, round(self._now_ms(), 2))

    def fragment(self) -> None:
        """Note that a frame is in the log."""
        self.last_fragment_ms = self._now_ms()

    def generation_fps(self, frames: int) -> float | None:
        """Frames a second from the start to the newest of `frames` that were made; None before the first."""
        started_ms, last_ms = self.marks_ms.get("started"), self.last_fragment_ms
        if frames <= 0 or last_ms is None or started_ms is None or last_ms <= started_ms:
            return None
        return frames * 1000 / (last_ms - started_ms)

    def eta_ms(self, frames_left: int, generation_fps: float | None) -> float | None:
        """Time for the frames left at that rate, less the time since the newest; None where the rate is not known."""
        if frames_left <= 0:
            return 0.0
        if generation_fps is None or self.last_fragment_ms is None:
            return None
        left_ms = frames_left * 1000 / generation_fps
        return round(max(0.0, left_ms - (self._now_ms() - self.last_fragment_ms)), 1)

    def _now_ms(self) -> float:
        return (time.perf_counter() - self._arrived_s) * 1000
