"""Which memory is read, and that a reading says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pynvml
import pytest

from web import memory
from web.memory import MemoryMonitor


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
    block = np.ones(64 * 1024 * 1024, np.uint8)
    grown = monitor.read()
    assert grown.used_bytes - before.used_bytes > 0.9 * block.nbytes
    del block
    after = monitor.read()
    assert after.peak_bytes >= grown.used_bytes, "the peak is remembered"
    assert after.used_bytes < grown.used_bytes


@pytest.mark.parametrize(("limit", "expected"), [("1048576\n", 1048576), ("max\n", None), (None, None)])
def test_a_container_limit_counts_as_the_total(tmp_path: Path, limit: str | None, expected: int | None) -> None:
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)
    measured = memory._machine_bytes(file)  # pyright: ignore[reportPrivateUsage]
    assert measured == (expected or psutil.virtual_memory().total)


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
