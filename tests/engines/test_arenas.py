"""Memory that a job's own threads have freed is used again by the next job's: in a process of its own, by its size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GROWN = """
import sys, threading
import numpy as np, psutil
from engines.arenas import use_one_arena
if sys.argv[1] == "one":
    assert use_one_arena()
blocks = 1000
wait = [threading.Barrier(9) for _ in range(2)]
def work():
    held = [bytearray(60_000) for _ in range(blocks)]  # below the size that is mapped by itself
    wait[0].wait()
    last = held[-1]  # what stays keeps the top of its heap from being given back
    del held
    wait[1].wait()
for _ in range(8):
    threading.Thread(target=work).start()
for barrier in wait:
    barrier.wait()
import gc; gc.collect()
print(open("/proc/self/maps").read().count("---p"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_threads_share_one_heap() -> None:
    def guards(how: str) -> int:
        ran = subprocess.run([sys.executable, "-c", GROWN, how], cwd=ROOT, capture_output=True, text=True, check=True)
        return int(ran.stdout)

    assert guards("one") < guards("many")


SEGMENTS = """
import os
from engines.arenas import use_growing_segments
use_growing_segments()
print(os.environ.get("PYTORCH_ALLOC_CONF"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PyTorch has it on Linux")
@pytest.mark.parametrize(("given", "then"), [(None, "expandable_segments:True"), ("max_split_size_mb:64", None)])
def test_segments_grow_unless_a_person_has_said_otherwise(given: str | None, then: str | None) -> None:
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment |= {} if given is None else {"PYTORCH_CUDA_ALLOC_CONF": given}
    command = [sys.executable, "-c", SEGMENTS]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(then)
