"""The GPU, and whether TensorRT can run on it, found out without torch or TensorRT.

Owns the driver's answers and the reasons why not, in both languages, for the status bar and for the choice of backend.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import pynvml

MIN_DRIVER = (535, 54, 3)
MIN_CAPABILITY = (7, 5)
LIBRARIES = ("tensorrt_rtx", "tensorrt")


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first NVIDIA GPU as NVML tells it.

    Attributes:
        name: as the driver calls it.
        driver: its version, as numbers.
        capability: compute capability, major and minor.
    """

    name: str
    driver: tuple[int, ...]
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reason:
    """One line for people, in both languages."""

    en: str
    zh: str


def find_gpu() -> Gpu | None:
    """Ask NVML; None without a driver or a GPU."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        driver = tuple(int(part) for part in str(pynvml.nvmlSystemGetDriverVersion()).split("."))
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        return Gpu(str(pynvml.nvmlDeviceGetName(handle)), driver, (int(major), int(minor)))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def installed_libraries() -> tuple[str, ...]:
    """Those of `LIBRARIES` that can be imported."""
    return tuple(name for name in LIBRARIES if importlib.util.find_spec(name) is not None)


def why_no_tensorrt(gpu: Gpu | None) -> Reason | None:
    """Why TensorRT cannot run here; None where nothing speaks against it."""
    if gpu is None:
        return Reason("no NVIDIA GPU", "没有 NVIDIA GPU")
    if gpu.driver < MIN_DRIVER:
        found = ".".join(map(str, gpu.driver))
        return Reason(f"driver {found} is older than 535.54.03", f"驱动 {found} 低于 535.54.03")
    if gpu.capability < MIN_CAPABILITY:
        found = ".".join(map(str, gpu.capability))
        return Reason(
            f"{gpu.name} is not supported (compute capability {found}, needed: 7.5)",
            f"不支持 {gpu.name}（计算能力 {found}，至少需要 7.5）",
        )
    if not installed_libraries():
        return Reason(
            "the TensorRT library is not installed (pip install -r requirements-trt.txt)",
            "未安装 TensorRT 库（pip install -r requirements-trt.txt）",
        )
    return None
