"""Which TensorRT: TensorRT-RTX (`tensorrt_rtx`) or data-centre TensorRT (`tensorrt`), behind one import.

Owns importing either, and the choice by GPU. Imports no torch. Does not know plans.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from engines.errors import EngineError
from engines.gpu import Gpu, installed_libraries


@dataclass(frozen=True, slots=True)
class Library:
    """One of the two TensorRT libraries, imported.

    Attributes:
        module: `tensorrt_rtx` or `tensorrt`, whose interfaces agree in what is used here.
        name: of that module.
    """

    module: Any
    name: str

    @property
    def is_rtx(self) -> bool:
        return self.name == "tensorrt_rtx"

    @property
    def version(self) -> str:
        return str(self.module.__version__)

    @property
    def label(self) -> str:
        """For people, e.g. "TensorRT-RTX 1.6.1"."""
        return f"TensorRT{'-RTX' if self.is_rtx else ''} {'.'.join(self.version.split('.')[:3])}"

    @property
    def reads_attention(self) -> bool:
        """Whether it is sure to read opset 23's Attention: TensorRT-RTX as pinned, data-centre TensorRT from 11."""
        return self.is_rtx or int(self.version.partition(".")[0]) >= 11

    def targets(self) -> frozenset[str]:
        """Names such as "sm89" that plans can be built for without that GPU; none with data-centre TensorRT."""
        if not self.is_rtx:
            return frozenset()
        return frozenset(name.lower() for name in self.module.ComputeCapability.__members__ if name.startswith("SM"))


def import_library(name: str) -> Library:
    """One library by its module's name.

    Raises:
        EngineError: it cannot be imported, and why.
    """
    try:
        return Library(importlib.import_module(name), name)
    except (ImportError, OSError) as error:
        raise EngineError(f"{name} cannot be imported: {error}") from error


def library_for(gpu: Gpu) -> Library:
    """The library for this GPU: TensorRT-RTX where it lists the GPU, else data-centre TensorRT; else what there is.

    Raises:
        EngineError: none can be imported, and why.
    """
    problems: list[str] = []
    found: list[Library] = []
    for name in installed_libraries():
        try:
            found.append(import_library(name))
        except EngineError as error:
            problems.append(str(error))
    if not found:
        raise EngineError("; ".join(problems) or "neither tensorrt_rtx nor tensorrt is installed")
    listing = [library for library in found if target_of(gpu) in library.targets()]
    data_centre = [library for library in found if not library.is_rtx]
    return (listing or data_centre or found)[0]


def target_of(gpu: Gpu) -> str:
    """The GPU's compute capability as a target's name, e.g. "sm89"."""
    return "sm{}{}".format(*gpu.capability)
