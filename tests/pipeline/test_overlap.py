"""A generator in a thread: order, errors and an early end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipeline.overlap import Threads


def test_order_is_kept() -> None:
    with Threads().overlapped(iter(range(100)), depth=3) as items:
        assert list(items) == list(range(100))


def test_an_error_comes_behind_what_was_made_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise ValueError("broken")

    with Threads().overlapped(source(), depth=8) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="broken"):
            next(items)


def test_leaving_early_closes_the_source_in_its_thread() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with Threads().overlapped(source(), depth=2) as items:
        assert next(items) == 1
    assert closed.is_set()


def test_a_free_thread_is_taken_again_and_two_at_once_have_one_each() -> None:
    def source() -> Iterator[int]:
        yield threading.get_ident()

    threads = Threads()
    with threads.overlapped(source(), depth=1) as first, threads.overlapped(source(), depth=1) as second:
        both = {*first, *second}
    assert len(both) == 2
    with threads.overlapped(source(), depth=1) as third:
        assert set(third) < both


def test_threads_end_with_their_owner() -> None:
    threads = Threads()

    def source() -> Iterator[threading.Thread]:
        yield threading.current_thread()

    with threads.overlapped(source(), depth=1) as items:
        (thread,) = items
    assert thread.is_alive()
    del threads
    thread.join(timeout=5)
    assert not thread.is_alive()
