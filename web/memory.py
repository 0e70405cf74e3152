"""How much memory is in use: of the GPU by NVML where one answers, else of this process; and what it was lately.

Owns which of the two is read, the peak seen and the history that the debug chart draws. Knows no job and no chart.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import pynvml

_LOG = logging.getLogger(__name__)
_CGROUP = Path("/sys/fs/cgroup")
INTERVAL_S = 0.5
_PEAK_INTERVAL_S = 0.02
MAX_SAMPLES = 2400  # twenty minutes


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """One look at the memory.

    Attributes:
        source: `nvml`: the whole GPU, every process on it; `process`: resident memory of this process alone.
        device: name of the GPU, or `CPU`.
        used_bytes, total_bytes: in use and there at all (machine or container limit for `process`).
        free_bytes: what anybody may still take: of the GPU, or of the machine (or container) for `process`.
        peak_bytes: highest `used_bytes` of this monitor's readings.
    """

    source: Literal["nvml", "process"]
    device: str
    used_bytes: int
    total_bytes: int
    free_bytes: int
    peak_bytes: int


class MemoryMonitor:
    """Reads memory on demand; safe to call from any thread.

    Args:
        environment: where `CUDA_VISIBLE_DEVICES` is looked up, which NVML itself ignores; None for the process's own.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._peak_bytes = 0
        self._gpu = _open_gpu(os.environ if environment is None else environment)
        self._device = str(pynvml.nvmlDeviceGetName(self._gpu)) if self._gpu is not None else "CPU"

    def read(self) -> MemoryReading:
        """Look now. A GPU that stops answering is given up for good, and the reading says `process` from then on."""
        with self._lock:
            used_bytes, total_bytes, free_bytes = self._look()
            self._peak_bytes = max(self._peak_bytes, used_bytes)
            source: Literal["nvml", "process"] = "process" if self._gpu is None else "nvml"
            return MemoryReading(source, self._device, used_bytes, total_bytes, free_bytes, self._peak_bytes)

    def _look(self) -> tuple[int, int, int]:
        if self._gpu is not None:
            try:
                info = _memory_info(self._gpu)
                return int(info.used), int(info.total), int(info.free)
            except pynvml.NVMLError as error:
                _LOG.warning("NVML stopped answering (%s): reading process memory instead", error)
                self._gpu, self._device, self._peak_bytes = None, "CPU", 0
        return self._process.memory_info().rss, *machine_bytes(_CGROUP)


def _memory_info(gpu: Any) -> Any:
    """NVML's figures as nvidia-smi shows them: without what the driver keeps for itself, 0.6 GB of an H100."""
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(gpu, version=pynvml.nvmlMemory_v2)
    except pynvml.NVMLError:  # a driver before 510, which counts it in; or the GPU, which says so once more
        return pynvml.nvmlDeviceGetMemoryInfo(gpu)


def _open_gpu(environment: Mapping[str, str]) -> Any | None:
    """NVML's handle of the first GPU that this process may use, or None."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    first = None if visible is None else visible.split(",")[0].strip()
    if first in ("", "-1"):
        return None
    try:
        pynvml.nvmlInit()
        if first is None or first.isdigit():
            return pynvml.nvmlDeviceGetHandleByIndex(int(first or 0))
        return pynvml.nvmlDeviceGetHandleByUUID(first)
    except pynvml.NVMLError as error:
        _LOG.info("no GPU answers through NVML (%s): reading process memory", error)
        return None


def machine_bytes(cgroup: Path) -> tuple[int, int]:
    """Memory of the machine and how much of it is free, or less where a container is held to less.

    Args:
        cgroup: the container's folder of control files (version 2); what is not there does not bind.
    """
    memory = psutil.virtual_memory()
    total_bytes, free_bytes = memory.total, memory.available
    limit = _number(cgroup / "memory.max")
    if limit is not None and limit < total_bytes:
        total_bytes = limit
        in_use = _number(cgroup / "memory.current")
        if in_use is not None:
            # Files that were read lately count as in use there, and are given up without a word.
            free_bytes = min(free_bytes, max(0, limit - in_use + _cached_bytes(cgroup)))
    return total_bytes, min(free_bytes, total_bytes)


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cached_bytes(cgroup: Path) -> int:
    try:
        lines = (cgroup / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)


class PeakWatch:
    """Highest use of memory while inside the context, looked at fifty times a second.

    Attributes:
        bytes: the highest so far, as `MemoryReading.used_bytes`.
    """

    def __init__(self, monitor: MemoryMonitor) -> None:
        self._monitor = monitor
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peak", daemon=True)
        self.bytes = 0

    def __enter__(self) -> PeakWatch:
        self.bytes = self._monitor.read().used_bytes
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_PEAK_INTERVAL_S):
            self.bytes = max(self.bytes, self._monitor.read().used_bytes)


@dataclass(frozen=True, slots=True)
class MemorySample:
    """One point of the history; bytes, None where there is no such thing here.

    Attributes:
        process: resident memory of this process.
        device: in use on the GPU, or on the whole machine where there is none, by everybody.
        allocated, reserved: what PyTorch's allocator has given out on the GPU, and what it holds for that.
    """

    process: int
    device: int
    allocated: int | None
    reserved: int | None


class MemoryHistory:
    """Samples twice a second, the newest twenty minutes of them. Thread-safe.

    Args:
        monitor: read for the device.
        allocator: allocated and reserved bytes, or None where PyTorch has nothing on a GPU.
    """

    def __init__(self, monitor: MemoryMonitor, allocator: Callable[[], tuple[int, int] | None]) -> None:
        self._monitor, self._allocator = monitor, allocator
        self._process = psutil.Process()
        self._lock = threading.Lock()
        self._samples: deque[MemorySample] = deque(maxlen=MAX_SAMPLES)
        self._num_taken = 0
        self._closing = threading.Event()

    def start(self) -> None:
        """Begin to sample, in a thread of its own; call once."""
        threading.Thread(target=self._run, name="memory", daemon=True).start()

    def close(self) -> None:
        """Stop sampling."""
        self._closing.set()

    def take(self) -> MemorySample:
        """Sample now."""
        reading, (allocated, reserved) = self._monitor.read(), self._allocator() or (None, None)
        device = reading.used_bytes if reading.source == "nvml" else reading.total_bytes - reading.free_bytes
        sample = MemorySample(self._process.memory_info().rss, device, allocated, reserved)
        with self._lock:
            self._samples.append(sample)
            self._num_taken += 1
        return sample

    def since(self, number: int) -> tuple[int, list[MemorySample]]:
        """Samples from that number on (the first ever is 0), as far as they are kept, and the number of the next."""
        with self._lock:
            kept = list(self._samples)
            oldest = self._num_taken - len(kept)
            return self._num_taken, kept[max(0, number - oldest) :]

    def _run(self) -> None:
        while not self._closing.wait(INTERVAL_S):
            self.take()
