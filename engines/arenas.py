"""Keeps the process from growing with every job: glibc gives each new thread its own heap and never takes one back.

Owns one setting of the C library. A job has threads of its own (encoding), so each job left some 140 MB of freed but
unreturned buffers behind; with one heap for all the next job takes them again.
"""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8  # of glibc's malloc.h


def use_one_arena() -> bool:
    """Ask glibc for a single heap, from now on, for the whole process. False where the C library is another one."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, 1) == 1
