"""`app.py` as a process: as a Space starts it, and with its flags."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Mapping
from http.cookiejar import CookieJar
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from bench.first_frame import free_port
from tests.serving import ended, wait_until_up

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 120.0


@contextlib.contextmanager
def app(folder: Path, *flags: str, environment: Mapping[str, str], port: int) -> Generator[str]:
    """Run `app.py` of that tree until it answers; yields its address."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")}
    command = [sys.executable, "app.py", *flags]
    process = subprocess.Popen(command, cwd=folder, env={**own, **environment}, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"

    def answers() -> bool:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return answer(url + "gradio_api/wan/status")[0] in (200, 401)
        return False

    with ended(process):
        wait_until_up(process, answers, START_LIMIT_S)
        yield url


def answer(url: str, data: bytes | None = None, opener: urllib.request.OpenerDirector | None = None) -> tuple[int, str]:
    open_ = (opener or urllib.request.build_opener()).open
    try:
        with open_(urllib.request.Request(url, data), timeout=10) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def front_matter() -> dict[str, str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head = text.split("---\n")[1]
    return {name: value.strip('"') for name, value in re.findall(r"^(\w+): (.+)$", head, re.MULTILINE)}


def test_the_readme_tells_a_space_what_it_needs() -> None:
    told = front_matter()
    assert (told["sdk"], told["app_file"], told["license"]) == ("gradio", "app.py", "apache-2.0")
    assert told["sdk_version"] == version("gradio"), "a Space installs this one beside requirements.txt"
    assert len(told["short_description"]) <= 60


def test_a_space_starts_with_no_edit(tmp_path: Path) -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout")
    for name in files.stdout.split("\0"):
        if name.split("/")[0] in ("app.py", "assets", "engines", "pipeline", "styles", "web"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).symlink_to(ROOT / name)
    port = free_port()
    environment = {
        "SYSTEM": "spaces",
        "SPACE_ID": "someone/wan-stream",
        "SPACE_HOST": "someone-wan-stream.hf.space",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SSR_MODE": "true",
    }
    with app(tmp_path, environment=environment, port=port) as url:
        status, page = answer(url)
        assert (status, "wan.mount.player" in page) == (200, True)
        code, body = answer(url + "gradio_api/wan/status")
        assert (code, json.loads(body)["stage"] != "failed") == (200, True)
        code, body = answer(url + "gradio_api/wan/engines/rebuild", data=b"")
        assert (code, json.loads(body)["field"]) == (403, "engines"), "a Space is public"


def test_flags_of_the_entry(tmp_path: Path, tiny_folder: Path) -> None:
    port = free_port()
    flags = ["--listen", "--port", str(port), "--auth", "ann:secret", "--backend", "torch", "--model", str(tiny_folder)]
    with app(ROOT, *flags, "--jobs-dir", str(tmp_path / "jobs"), environment={}, port=port) as url:
        assert answer(url + "gradio_api/wan/status")[0] == 401
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        login = urllib.parse.urlencode({"username": "ann", "password": "secret"}).encode()
        assert answer(url + "login", login, opener)[0] == 200
        told: dict[str, Any] = {}
        limit = time.monotonic() + START_LIMIT_S
        while not told.get("ready") and time.monotonic() < limit:
            code, body = answer(url + "gradio_api/wan/status", opener=opener)
            assert code == 200
            told = json.loads(body)
            assert told["stage"] != "failed", told["stage_en"]
            time.sleep(0.2)
        assert "PyTorch" in told["backend"]
        assert told["model"] == tiny_folder.name
