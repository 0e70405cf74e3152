"""Tensors in, tensors out. The only place where a backend is chosen: below it nothing asks which one it is.

Nothing heavy is imported until engines are asked for, so that `engines.errors` costs nothing.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.base import Engines
    from engines.checkpoint import Checkpoint

BACKENDS: tuple[str, ...] = ("auto", "torch", "openvino")


def load_engines(checkpoint: Checkpoint, backend: str = "auto") -> Engines:
    """Make the engines of a checkpoint.

    Args:
        checkpoint: from `engines.checkpoint.read_checkpoint`.
        backend: one of `BACKENDS`; "auto" takes a CUDA GPU where there is one, else OpenVINO, else PyTorch on the CPU.

    Raises:
        EngineError: the backend is unknown or cannot run here.
    """
    import torch

    if backend not in BACKENDS:
        raise EngineError(f"backend {backend!r}; allowed: {', '.join(BACKENDS)}")
    has_openvino = importlib.util.find_spec("openvino") is not None
    if backend == "auto":
        backend = "openvino" if has_openvino and not torch.cuda.is_available() else "torch"
    if backend == "openvino":
        if not has_openvino:
            raise EngineError("backend 'openvino': the package openvino is not installed (pip install openvino)")
        from engines import openvino_engine

        return openvino_engine.load(checkpoint)
    from engines import torch_engine

    return torch_engine.load(checkpoint, device=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
