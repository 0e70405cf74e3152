"""What every benchmark tells besides its figures: the hardware, the versions, the commit; and how a result is written.

Owns the form of a result. Knows no model, no browser and no figure.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pynvml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
_PACKAGES = ("torch", "diffusers", "transformers", "openvino", "tensorrt", "tensorrt-rtx", "av", "gradio", "playwright")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def hardware() -> dict[str, Any]:
    """CPU, cores that this process may use, memory in bytes, and the names of the GPUs."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": _gpu_names(),
    }


def versions() -> dict[str, str]:
    """Python, the system, and those of our packages that are installed."""
    found = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of this checkout, with `+` where files differ from it; outside a checkout what SOURCE_COMMIT says."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SOURCE_COMMIT", "")
    return name + ("+" if changed else "")


def median(values: Iterable[float]) -> float:
    """Median, to a hundredth.

    Raises:
        statistics.StatisticsError: there are no values.
    """
    return round(statistics.median(values), 2)


def add_save(parser: argparse.ArgumentParser) -> None:
    """Add `--save NAME`."""
    parser.add_argument("--save", metavar="NAME", type=_result_name, help="also write bench/results/NAME.json")


def emit(figures: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], save: str | None) -> None:
    """Print the result as one JSON object on the last line, and write it where it is asked for.

    Args:
        figures: the medians and the settings, by the names that the README uses.
        runs: every single run.
        save: name of the file in bench/results, or None.
    """
    result = {
        **figures,
        "runs": list(runs),
        "hardware": hardware(),
        "versions": versions(),
        "commit": commit(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if save is not None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result, ensure_ascii=False, indent=1)
        (RESULTS / f"{save}.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(result, ensure_ascii=False), flush=True)


def _result_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise argparse.ArgumentTypeError("letters, digits, dot, dash and underscore only")
    return value


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor()


def _gpu_names() -> list[str]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    finally:
        pynvml.nvmlShutdown()
