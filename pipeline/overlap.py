"""Run a generator in another thread, a few items ahead of whoever consumes it.

Owns the threads: leaving the context stops the generator at its next item and waits for it. An exception in the
generator reaches the consumer behind the items made before it. Does not know what is made.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Worker:
    """A thread that runs one function after another; no reason for a process to live on."""

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[tuple[Callable[[], None], threading.Event] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="frames", daemon=True).start()

    def run(self, function: Callable[[], None]) -> threading.Event:
        """Begin `function`, which raises nothing; the event is set when it has returned."""
        done = threading.Event()
        self._given.put((function, done))
        return done

    def end(self) -> None:
        """Let the thread go when it has done what it was given."""
        self._given.put(None)

    def _work(self) -> None:
        while (given := self._given.get()) is not None:
            function, done = given
            function()
            del function, given  # with all that they hold, which may be gigabytes
            done.set()


_DONE = object()


class Threads:
    """Threads that serve one generator after another and end with this object.

    One that has become free takes the next generator, because libraries keep for each thread what they prepared for a
    shape: cuDNN its plans, CUDA graphs their pool.
    """

    def __init__(self) -> None:
        self._free: list[_Worker] = []  # the one that was free last comes first
        weakref.finalize(self, _end, self._free)

    @contextlib.contextmanager
    def overlapped(self, items: Iterable[_T], *, depth: int) -> Generator[Iterator[_T]]:
        """Consume `items` in another thread, at most `depth` ahead.

        Args:
            items: closed in that thread when the consumer leaves early.
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

        try:
            worker = self._free.pop()
        except IndexError:
            worker = _Worker()
        done = worker.run(produce)
        try:
            yield consume()
        finally:
            left.set()
            done.wait()
            self._free.append(worker)


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()
