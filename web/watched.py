"""Something that one thread changes and others wait for, in threads and in event loops, without making the writer wait.

Owns the condition and the list of those who wait; knows nothing of what changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Generator


class Watched:
    """Base of what changes: hold `_changed` while changing, call `_notify` afterwards."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watchers: set[Callable[[], object]] = set()

    @contextlib.contextmanager
    def watch(self) -> Generator[asyncio.Event]:
        """An event of the running loop that is set at every change. Clear it *before* looking."""
        event = asyncio.Event()
        wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, event.set)
        with self._changed:
            self._watchers.add(wake)
        try:
            yield event
        finally:
            with self._changed:
                self._watchers.discard(wake)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
            watchers = tuple(self._watchers)
        for wake in watchers:
            # A loop that has closed cannot be woken; its watcher is gone with it.
            with contextlib.suppress(RuntimeError):
                wake()
