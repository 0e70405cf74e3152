"""Prompt to video, as a stream: `from pipeline import VideoRequest, generate, load_model`.

Names are loaded when first asked for, so that the parts that need no torch (`encode`, `request`) do not import it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.model import Model, load_model
    from pipeline.request import VideoRequest
    from pipeline.walk import Frames, generate, stream

__all__ = ["Frames", "Model", "VideoRequest", "generate", "load_model", "stream"]

_HOMES = {
    "Frames": "pipeline.walk",
    "generate": "pipeline.walk",
    "stream": "pipeline.walk",
    "Model": "pipeline.model",
    "load_model": "pipeline.model",
    "VideoRequest": "pipeline.request",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
