"""Several processes export at once, say why they could not, and end with the one that began them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engines import exporting
from engines.exporting import PROCESS_BYTES, exported, processes_for

ROOT = Path(__file__).resolve().parents[2]
# A file of its own, because what other processes run has to be importable in them.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from engines.errors import EngineError
from engines.exporting import exported

def export(name, path):
    path.with_suffix(".pid").write_text(str(os.getpid()))
    if name == "lost":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(name))
    path.write_text(name)

if __name__ == "__main__":
    folder, *names = sys.argv[1:]
    try:
        for name, file in exported(names, Path(folder), export, processes=2):
            print(name, file.read_text(), flush=True)
    except EngineError as error:
        print(error)
"""


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return lambda *names: [sys.executable, str(script), str(tmp_path), *names]


def _run(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def _pid(file: Path) -> int:
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(file.read_text())


def test_the_first_that_is_ready_comes_first(command: Callable[..., list[str]], tmp_path: Path) -> None:
    """The second and the third while the first is still at work, from another process than this one's."""
    said, _ = _run(command("8", "0.1", "0.2")).communicate(timeout=120)
    assert said.split() == ["0.1", "0.1", "0.2", "0.2", "8", "8"]
    assert len({_pid(tmp_path / "8.pid"), _pid(tmp_path / "0.1.pid")}) == 2


def test_a_process_that_was_ended_is_an_error_and_no_wait(command: Callable[..., list[str]]) -> None:
    said, _ = _run(command("lost", "0.1")).communicate(timeout=120)
    assert "was ended: is memory short?" in said


def test_they_end_with_the_one_that_began_them(command: Callable[..., list[str]], tmp_path: Path) -> None:
    parent = _run(command("299", "298"))
    children = [psutil.Process(_pid(tmp_path / f"{name}.pid")) for name in ("299", "298")]
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_one_process_has_one_graph_on_disk_at_a_time(tmp_path: Path) -> None:
    def export(name: str, path: Path) -> None:
        path.write_text(name)
        path.with_suffix(".onnx.data").touch()

    there = [[path.name for path in tmp_path.iterdir()] for _ in exported(["a", "b"], tmp_path, export, processes=1)]
    assert [sorted(names) for names in there] == [["a.onnx", "a.onnx.data"], ["b.onnx", "b.onnx.data"]]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cores", "free", "expected"), [(2, 64, 2), (16, 64, 5), (16, 7, 3), (None, 64, 1), (16, 1, 1)]
)
def test_as_many_as_there_are_cores_and_memory_for(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, free: int, expected: int
) -> None:
    class Memory:
        available = free * PROCESS_BYTES // 2

    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(exporting.psutil, "virtual_memory", Memory)
    assert processes_for(5) == expected
