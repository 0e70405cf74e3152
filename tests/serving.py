"""The drawn server (tests/browser/server.py) as a process of its own, for every test that needs a whole service."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path

from bench.first_frame import free_port

ROOT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 60.0


@contextlib.contextmanager
def serving(jobs: Path, port: int | None = None) -> Generator[int]:
    """Start it, wait until it answers, yield its port, end it; the same port again is the same origin for a browser."""
    port = free_port() if port is None else port
    command = [sys.executable, "-m", "tests.browser.server", "--port", str(port), "--jobs-dir", str(jobs)]
    server = subprocess.Popen(command, cwd=ROOT)
    with ended(server):
        wait_until_up(server, lambda: _answers(port), START_LIMIT_S)
        yield port


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    """End a process behind the block."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_until_up(process: subprocess.Popen[bytes], answers: Callable[[], bool], limit_s: float) -> None:
    """Ask until it answers; a process that ends, or takes too long, fails the test."""
    deadline = time.monotonic() + limit_s
    while not answers():
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.2)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/gradio_api/wan/status", timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False
