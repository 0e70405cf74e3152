"""Keeps the process from growing with every job, and a GPU's memory from being cut into pieces.

Owns one setting of the C library and one of PyTorch's allocator. glibc gives each new thread its own heap and never
takes one back: a job has threads of its own (encoding), so each left some 140 MB of freed but unreturned buffers;
with one heap for all the next job takes them again. On a GPU the text encoder comes and goes; in segments of fixed size
what it leaves fits nothing else.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_ARENA_MAX = -8  # of glibc's malloc.h
_ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")  # the second is the first's older name


def save_memory() -> None:
    """Both, as every program here does: before any library starts its threads, and before torch is imported."""
    use_one_arena()
    use_growing_segments()


def use_one_arena() -> bool:
    """Ask glibc for a single heap, from now on, for the whole process. False where the C library is another one."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, 1) == 1


def use_growing_segments() -> None:
    """Let PyTorch's segments on a GPU grow, in this process and its children; before torch is imported.

    What a person has set stays. Only on Linux, because PyTorch has it nowhere else.
    """
    if sys.platform.startswith("linux") and not any(name in os.environ for name in _ALLOCATOR):
        os.environ[_ALLOCATOR[0]] = "expandable_segments:True"
