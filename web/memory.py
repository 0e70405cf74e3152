"""How much memory is in use: of the GPU by NVML where one answers, else of this process.

Owns which of the two is read and the peak seen. Knows no job and no chart.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import pynvml

_LOG = logging.getLogger(__name__)
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """One look at the memory.

    Attributes:
        source: `nvml`: the whole GPU, every process on it; `process`: resident memory of this process alone.
        device: name of the GPU, or `CPU`.
        used_bytes, total_bytes: in use and there at all (machine or container limit for `process`).
        peak_bytes: highest `used_bytes` of this monitor's readings.
    """

    source: Literal["nvml", "process"]
    device: str
    used_bytes: int
    total_bytes: int
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
            used_bytes, total_bytes = self._used_and_total()
            self._peak_bytes = max(self._peak_bytes, used_bytes)
            source: Literal["nvml", "process"] = "process" if self._gpu is None else "nvml"
            return MemoryReading(source, self._device, used_bytes, total_bytes, self._peak_bytes)

    def _used_and_total(self) -> tuple[int, int]:
        if self._gpu is not None:
            try:
                info = pynvml.nvmlDeviceGetMemoryInfo(self._gpu)
                return int(info.used), int(info.total)
            except pynvml.NVMLError as error:
                _LOG.warning("NVML stopped answering (%s): reading process memory instead", error)
                self._gpu, self._device, self._peak_bytes = None, "CPU", 0
        return self._process.memory_info().rss, _machine_bytes(_CGROUP_LIMIT)


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


def _machine_bytes(cgroup_limit: Path) -> int:
    """Memory of the machine, or less where a container is held to less."""
    total_bytes = psutil.virtual_memory().total
    try:
        limit = cgroup_limit.read_text().strip()
    except OSError:
        return total_bytes
    return min(total_bytes, int(limit)) if limit.isdigit() else total_bytes
