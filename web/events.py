"""What happened to a job, line by line, for the debug page.

Owns the lines and their times. Knows no state and no walk.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

MAX_EVENTS = 2000


@dataclass(frozen=True, slots=True)
class Event:
    """One line: what happened, and when, in milliseconds since the submission arrived."""

    ms: float
    text: str


class EventLog:
    """The newest events of one job. Thread-safe.

    Args:
        arrived_s: `time.perf_counter()` when the submission arrived.
    """

    def __init__(self, arrived_s: float) -> None:
        self._arrived_s = arrived_s
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._num_noted = 0

    def note(self, text: str) -> None:
        """Add a line, now."""
        event = Event(round((time.perf_counter() - self._arrived_s) * 1000, 1), text)
        with self._lock:
            self._events.append(event)
            self._num_noted += 1

    def since(self, number: int) -> tuple[int, list[Event]]:
        """Events from that number on (the first ever is 0), as far as they are kept, and the number of the next."""
        with self._lock:
            kept = list(self._events)
            oldest = self._num_noted - len(kept)
            return self._num_noted, kept[max(0, number - oldest) :]
