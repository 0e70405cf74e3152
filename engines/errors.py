"""What goes wrong at and below the engines; the whole tree is drawn in `pipeline.errors`."""

from __future__ import annotations


class WanError(Exception):
    """Base of this project's own errors."""


class CheckpointError(WanError):
    """A checkpoint that cannot be loaded: missing file, wrong class, unsupported layout."""


class EngineError(WanError):
    """A backend that cannot be built or run; the next backend may still serve."""
