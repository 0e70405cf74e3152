"""What a person should know about this machine at the first start: what was found, and the cure where something lacks.

Owns the list, its wording in both languages and its limits. Nothing here stops anything: every item that is not in
order has a next best that runs. Knows no route and no model.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engines.gpu import MIN_DRIVER, Gpu, Reason

Level = Literal["ok", "note", "fault", "busy"]

LOW_DISK_BYTES, TIGHT_DISK_BYTES = 1_000_000_000, 5_000_000_000
_OLDEST = "535.54.03"


@dataclass(frozen=True, slots=True)
class Check:
    """One item of the list.

    Attributes:
        key: `driver`, `tensorrt`, `encoder`, `model` or `disk`.
        level: ok; note: works, could be better; fault: something does not work; busy: not known yet.
        found_en, found_zh: what is there.
        cure_en, cure_zh: what to do; "" where there is nothing to do.
    """

    key: str
    level: Level
    found_en: str
    found_zh: str
    cure_en: str = ""
    cure_zh: str = ""


def driver(gpu: Gpu | None) -> Check:
    """The GPU and its driver."""
    if gpu is None:
        return Check(
            "driver",
            "note",
            "no NVIDIA GPU answers; the CPU is used",
            "没有检测到 NVIDIA GPU，使用 CPU",
            f"Fine for the embedded model. If this machine has a GPU: install NVIDIA's driver {_OLDEST} or newer"
            " (in a container, start it with --gpus all) until nvidia-smi lists the GPU.",
            f"内置模型在 CPU 上即可运行。如果本机有显卡：安装 {_OLDEST} 或更新的 NVIDIA 驱动"
            "（容器需加 --gpus all），直到 nvidia-smi 能列出显卡。",
        )
    found = f"{gpu.name}, {'.'.join(map(str, gpu.driver))}"
    if gpu.driver < MIN_DRIVER:
        return Check(
            "driver",
            "note",
            found,
            found,
            f"Update the driver to {_OLDEST} or newer: TensorRT needs it. Until then PyTorch runs the model.",
            f"请把驱动更新到 {_OLDEST} 或更新版本，TensorRT 需要它；此前由 PyTorch 运行模型。",
        )
    return Check("driver", "ok", found, found)


def tensorrt(on: bool, backend: str, reason: Reason | None, gpu: Gpu | None, percent: int | None) -> Check:
    """Whether TensorRT runs the model.

    Args:
        on: it does; backend: label of what does.
        reason: why it does not.
        percent: how far its engines are, while they are built.
    """
    if on:
        return Check("tensorrt", "ok", backend, backend)
    if gpu is not None and percent is not None:
        return Check(
            "tensorrt",
            "busy",
            f"building the engines, {percent} %",
            f"正在构建引擎，{percent} %",
            "Only once for this GPU, model and version; clips that are queued meanwhile start afterwards.",
            "每种显卡、模型与版本只需一次；期间提交的任务随后开始。",
        )
    why = reason or Reason("not known yet", "尚未得知")
    if reason is None:
        return Check("tensorrt", "busy", why.en, why.zh)
    if gpu is None:
        cure = Reason(
            "Nothing to do: TensorRT needs an NVIDIA GPU (compute capability 7.5 or newer).",
            "无需处理：TensorRT 需要 NVIDIA 显卡（计算能力 7.5 以上）。",
        )
    elif "pip install" in reason.en:
        cure = Reason(
            "Install it (pip install -r requirements-trt.txt) and start again.",
            "安装后重新启动：pip install -r requirements-trt.txt",
        )
    elif gpu.driver < MIN_DRIVER:
        cure = Reason("Update the driver, see above.", "请更新驱动，见上一项。")
    else:
        cure = Reason(
            "Press Rebuild engines; if it fails again, the terminal has the whole message. Until then PyTorch runs the"
            " model.",
            "按“重建引擎”再试；若仍失败，终端里有完整信息。此前由 PyTorch 运行模型。",
        )
    return Check("tensorrt", "note", why.en, why.zh, cure.en, cure.zh)


def encoder(name: str, reason: str, has_gpu: bool, failed: bool) -> Check:
    """The H.264 encoder that was chosen by really encoding a frame.

    Args:
        name, reason: of the choice; "" before it.
        failed: none opened.
    """
    if failed:
        return Check(
            "encoder",
            "fault",
            "no H.264 encoder opens",
            "没有可用的 H.264 编码器",
            "Install the encoder's package anew: pip install --force-reinstall av",
            "请重新安装编码库：pip install --force-reinstall av",
        )
    if not name:
        return Check("encoder", "busy", "being tried", "正在检测")
    if has_gpu and name == "libx264":
        return Check(
            "encoder",
            "note",
            f"libx264 ({reason})",
            f"libx264（{reason}）",
            "Works; the GPU's own encoder would spare the CPU. In a container, allow it the driver capability"
            " “video” (NVIDIA_DRIVER_CAPABILITIES=all). Some data-centre GPUs have no encoder.",
            "可以使用；显卡编码器能减轻 CPU 负担。容器需开放 video 能力（NVIDIA_DRIVER_CAPABILITIES=all）。"
            "部分数据中心显卡没有编码器。",
        )
    return Check("encoder", "ok", name, name)


def model(name: str, backend: str, error: Exception | None, passed_over: Reason | None) -> Check:
    """The model.

    Args:
        name, backend: of the loaded one; "" before.
        error: why it did not load.
        passed_over: why a faster backend does not run it.
    """
    if error is not None:
        return Check(
            "model",
            "fault",
            str(error),
            str(error),
            "Check --model (a hub id or a folder in diffusers layout) and --backend; without --model the embedded model"
            " starts, which needs nothing.",
            "请检查 --model（Hub 编号或 diffusers 目录）与 --backend；不加 --model 会使用内置模型，什么都不需要。",
        )
    if not name:
        return Check("model", "busy", "loading", "正在载入")
    found = f"{name} · {backend}"
    if passed_over is not None:
        return Check(
            "model",
            "note",
            f"{found} ({passed_over.en})",
            f"{found}（{passed_over.zh}）",
            "Works, slower than it could. Press Rebuild engines to try again.",
            "可以使用，但不是最快。按“重建引擎”再试。",
        )
    return Check("model", "ok", found, found)


def disk(folder: Path) -> Check:
    """Room for clips."""
    try:
        free_bytes = shutil.disk_usage(folder).free
    except OSError:
        free_bytes = 0
    en, zh = f"{free_bytes / 1e9:.1f} GB free", f"剩余 {free_bytes / 1e9:.1f} GB"
    move = Reason(
        "Make room, or start with --jobs-dir on another disk.", "请清理磁盘，或用 --jobs-dir 指定另一块磁盘。"
    )
    if not os.access(folder, os.W_OK):
        return Check(
            "disk",
            "fault",
            "the folder of the clips cannot be written",
            "无法写入片段目录",
            "Start with --jobs-dir naming a folder that may be written.",
            "请用 --jobs-dir 指定可写目录。",
        )
    if free_bytes < LOW_DISK_BYTES:
        return Check("disk", "fault", en, zh, move.en, move.zh)
    if free_bytes < TIGHT_DISK_BYTES:
        return Check("disk", "note", en, zh, move.en, move.zh)
    return Check("disk", "ok", en, zh)
