"""Run a generator in a thread of its own, a few items ahead of whoever consumes it.

Owns the thread and its end: leaving the context stops the generator at its next item and waits for it. An exception in
the generator reaches the consumer behind the items made before it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


_DONE = object()


@contextlib.contextmanager
def overlapped(items: Iterable[_T], *, depth: int) -> Generator[Iterator[_T]]:
    """Consume `items` in a thread, at most `depth` ahead.

    Args:
        items: closed in its own thread when the consumer leaves early.
    """
    made: queue.Queue[object] = queue.Queue(maxsize=depth)
    left = threading.Event()

    def put(item: object) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                made.put(item, timeout=0.05)
                return

    def produce() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put(item)
                if left.is_set():
                    return
            put(_DONE)
        except BaseException as error:  # handed over whole, raised where the items are consumed
            put(_Failed(error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def consume() -> Iterator[_T]:
        while (item := made.get()) is not _DONE:
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]

    thread = threading.Thread(target=produce, name="frames", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        left.set()
        thread.join()
