"""Which memory is read, and that a reading says so."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

import psutil
import pynvml
import pytest

from web import memory
from web.memory import MemoryHistory, MemoryMonitor, PeakWatch

BLOCK_BYTES = 64 * 1024 * 1024


def fresh_block() -> mmap.mmap:
    """Memory that the process did not have: an array may be given what others left, and nothing would grow."""
    block = mmap.mmap(-1, BLOCK_BYTES)
    block.write(bytes(BLOCK_BYTES))
    return block


def gpu_answers() -> bool:
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetCount() > 0
    except pynvml.NVMLError:
        return False


@pytest.mark.parametrize("hidden", ["", "-1", "-1,0", " "])
def test_a_hidden_gpu_is_not_read(hidden: str) -> None:
    reading = MemoryMonitor({"CUDA_VISIBLE_DEVICES": hidden}).read()
    assert (reading.source, reading.device) == ("process", "CPU")


def test_process_memory_is_this_process_and_grows_with_it() -> None:
    monitor = MemoryMonitor({"CUDA_VISIBLE_DEVICES": ""})
    before = monitor.read()
    assert before.used_bytes == pytest.approx(psutil.Process().memory_info().rss, rel=0.05)
    assert 0 < before.used_bytes < before.total_bytes
    block = fresh_block()
    grown = monitor.read()
    assert grown.used_bytes - before.used_bytes > 0.9 * BLOCK_BYTES
    block.close()
    after = monitor.read()
    assert after.peak_bytes >= grown.used_bytes, "the peak is remembered"
    assert after.used_bytes < grown.used_bytes


@pytest.mark.parametrize(("limit", "expected"), [("1048576\n", 1048576), ("max\n", None), (None, None)])
def test_a_container_limit_counts_as_the_total(tmp_path: Path, limit: str | None, expected: int | None) -> None:
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    total, free = memory.machine_bytes(tmp_path)
    assert total == (expected or psutil.virtual_memory().total)
    assert 0 < free <= total


def test_what_a_container_has_left_does_not_count_cached_files(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    assert memory.machine_bytes(tmp_path) == (1_000_000, 100_000)
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 300000\nactive_file 5\n")
    assert memory.machine_bytes(tmp_path) == (1_000_000, 400_000)
    (tmp_path / "memory.current").write_text("1000001\n")
    (tmp_path / "memory.stat").write_text("anon 1000001\n")
    assert memory.machine_bytes(tmp_path) == (1_000_000, 0)


def test_the_history_is_read_on_from_where_one_was(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int] | None] = [None, (3, 4), (5, 6)]
    history = MemoryHistory(MemoryMonitor({"CUDA_VISIBLE_DEVICES": ""}), lambda: told[history.since(0)[0]])
    taken = [history.take() for _ in told]
    assert [(sample.allocated, sample.reserved) for sample in taken] == [(None, None), (3, 4), (5, 6)]
    assert all(0 < sample.process < psutil.virtual_memory().total for sample in taken)
    assert all(0 < sample.device < psutil.virtual_memory().total for sample in taken)
    assert history.since(0) == (3, taken)
    assert history.since(2) == (3, taken[2:])
    assert history.since(9) == (3, [])
    monkeypatch.setattr(memory, "MAX_SAMPLES", 2)
    short = MemoryHistory(MemoryMonitor({"CUDA_VISIBLE_DEVICES": ""}), lambda: None)
    taken = [short.take() for _ in range(4)]
    assert short.since(0) == (4, taken[2:])
    assert short.since(3) == (4, taken[3:])


def test_the_peak_between_two_moments_is_seen_though_it_has_passed() -> None:
    monitor = MemoryMonitor({"CUDA_VISIBLE_DEVICES": ""})
    before = monitor.read().used_bytes
    with PeakWatch(monitor) as peak:
        block = fresh_block()
        time.sleep(0.5)
        block.close()
    assert peak.bytes - before > 0.9 * BLOCK_BYTES
    assert monitor.read().used_bytes < peak.bytes


def test_the_history_goes_on_by_itself() -> None:
    history = MemoryHistory(MemoryMonitor({"CUDA_VISIBLE_DEVICES": ""}), lambda: None)
    history.start()
    deadline = time.monotonic() + 20
    while not history.since(0)[0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    history.close()


@pytest.mark.skipif(gpu_answers(), reason="a GPU answers here")
def test_without_a_gpu_the_process_is_read() -> None:
    assert MemoryMonitor({}).read().source == "process"
    assert MemoryMonitor({"CUDA_VISIBLE_DEVICES": "GPU-12345678"}).read().source == "process"


@pytest.mark.skipif(not gpu_answers(), reason="no GPU answers here")
def test_with_a_gpu_its_own_memory_is_read() -> None:
    reading = MemoryMonitor({}).read()
    info = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0))
    assert reading.source == "nvml"
    assert reading.total_bytes == info.total
    assert reading.used_bytes <= info.used, "what the driver keeps for itself is not in use"
    assert reading.device != "CPU"


@pytest.mark.skipif(not gpu_answers(), reason="no GPU answers here")
def test_a_gpu_that_stops_answering_is_given_up_and_the_reading_says_so() -> None:
    monitor = MemoryMonitor({})
    assert monitor.read().source == "nvml"
    while True:
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            break
    reading = monitor.read()
    assert (reading.source, reading.device) == ("process", "CPU")
    assert reading.peak_bytes == reading.used_bytes
