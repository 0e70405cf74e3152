"""Click to first painted frame, in a real Chromium that presses the real button: `python -m bench.first_frame`.

Owns the browser and the arithmetic of the marks. The server is the shipped `app.py`, started here and warm before the
first measured click, or one that runs already (`--url`).

Marks of a run, in milliseconds since the click (the DOM event's own time stamp):
    job_accepted             the submission's answer is in the page
    first_latent             the first latent is clean           (server's clock, counted from the submission's arrival)
    first_frame              the first frame is decoded          (likewise)
    first_fragment_written   its fragment is in the log          (likewise)
    first_fragment           the page has the whole fragment
    first_painted_frame      `requestVideoFrameCallback` says that it was handed to the compositor
`transport_ms` is first_painted_frame − first_frame: everything that is not generation, on both ways.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from json import loads
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from bench import report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
DEFAULT_PROMPT = "一只红色的球从左向右移动"
START_LIMIT_S = 600.0

_LOG = logging.getLogger(__name__)
_ENDED = "() => wan.job.state && wan.hasEnded(wan.job.state)"
_PLAYED = "() => wan.job.session.complete && (wan.job.session.swapped || wan.job.session.video.ended)"
_READ = """() => {
  const { session, state } = wan.job;
  const { stats, marks } = session;
  return {
    marks, state, stalls: stats.stalls, holds: stats.holds, painted_frames: stats.painted.size,
    presented_frames: stats.presented, received_bytes: stats.bytes, fragments: session.fragments,
  };
}"""


def find_browser() -> str:
    """Path of a Chromium or Chrome that this system has.

    Raises:
        FileNotFoundError: there is none.
    """
    for name in BROWSERS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise FileNotFoundError(f"none of {', '.join(BROWSERS)} is installed")


@contextlib.contextmanager
def serve(backend: str, model: str | None) -> Generator[str]:
    """Run the shipped app on a free port until it is ready; yields its address.

    Raises:
        RuntimeError: it ended, did not load its model, or took longer than `START_LIMIT_S`.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as jobs:
        command = [sys.executable, "app.py", "--port", str(port), "--jobs-dir", jobs, "--backend", backend]
        if model is not None:
            command += ["--model", model]
        server = subprocess.Popen(command, cwd=report.ROOT, stdout=sys.stderr)
        try:
            _wait_until_ready(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def free_port() -> int:
    """A port of this machine that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        if server.poll() is not None:
            raise RuntimeError(f"the app ended with {server.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, ValueError):
            with urllib.request.urlopen(f"{url}gradio_api/wan/status", timeout=5) as answer:
                status = loads(answer.read())
            if status["ready"]:
                return
            if status["stage"] == "failed":
                raise RuntimeError(status["stage_en"])
        time.sleep(0.2)
    raise RuntimeError(f"the app was not ready after {START_LIMIT_S:.0f} s")


def prepare(page: Page, url: str, args: argparse.Namespace) -> None:
    """Open the page and set what is measured, as a person would."""
    page.goto(url)
    page.wait_for_selector("#wan-generate")
    page.wait_for_selector(".wan-ready[data-stage=ready]")
    page.fill("#wan-prompt textarea", args.prompt)
    for control, value in (("size", args.size), ("seconds", args.seconds), ("fps", args.fps)):
        page.check(f"#wan-{control} input[value='{value}']", force=True)


def press(page: Page, limit_s: float) -> dict[str, Any]:
    """Press the button, wait until the clip was made and played, and read the marks."""
    before = page.evaluate("() => wan.job.id")
    page.click("#wan-generate")
    page.wait_for_function("before => wan.job.id && wan.job.id !== before", arg=before)
    page.wait_for_function(_ENDED, timeout=limit_s * 1000)
    page.wait_for_function(_PLAYED, timeout=limit_s * 1000)
    return run_of(page.evaluate(_READ))


def run_of(read: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one run from what the page and the server noted.

    Raises:
        RuntimeError: the job did not end well.
    """
    state, marks, server = read["state"], read["marks"], read["state"]["marks_ms"]
    if state["state"] != "done":
        raise RuntimeError(f"the job ended as {state['state']}: {state['error']}")
    click = marks["click"]
    painted = marks["painted"] - click
    return {
        "first_painted_frame_ms": round(painted, 2),
        "transport_ms": round(painted - server["first_frame"], 2),
        "marks_ms": {
            "job_accepted": round(marks["accepted"] - click, 2),
            "first_latent": server["first_latent"],
            "first_frame": server["first_frame"],
            "first_fragment_written": server["first_fragment"],
            "first_fragment": round(marks["first_fragment"] - click, 2),
            "first_painted_frame": round(painted, 2),
        },
        "stalls": read["stalls"],
        "holds": read["holds"],
        "painted_frames": read["painted_frames"],
        "num_frames": state["num_frames"],
        "generation_fps": state["generation_fps"],
        "all_bytes": read["received_bytes"] == state["bytes"],
    }


def measure(url: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One unmeasured click, so that browser and server are warm, then the measured ones."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.browser or find_browser(), args=list(FLAGS))
        try:
            page = browser.new_page(locale="zh-CN", viewport={"width": 1440, "height": 900})
            prepare(page, url, args)
            press(page, args.limit)
            runs: list[dict[str, Any]] = []
            for number in range(args.runs):
                runs.append(press(page, args.limit))
                _LOG.info("run %d of %d: %s", number + 1, args.runs, runs[-1])
            return runs
        finally:
            browser.close()


def main() -> None:
    """Parse the flags, measure, print the JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_frame", description="Click to first painted frame.")
    parser.add_argument("--url", help="a server that runs already and is warm (default: start app.py)")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--prompt", default=DEFAULT_PROMPT)
    parser.add_argument("--size", default="768×432", type=lambda value: value.replace("x", "×"))
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--model")
    parser.add_argument("--browser", help="path of a Chromium or Chrome (default: the system's)")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds that one clip may take")
    report.add_save(parser)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with contextlib.nullcontext(args.url) if args.url else serve(args.backend, args.model) as url:
        url = url if url.endswith("/") else url + "/"
        runs = measure(url, args)
        with urllib.request.urlopen(f"{url}gradio_api/wan/status") as answer:
            status = loads(answer.read())
    report.emit(
        {
            "bench": "first_frame",
            "first_painted_frame_ms": report.median(run["first_painted_frame_ms"] for run in runs),
            "transport_ms": report.median(run["transport_ms"] for run in runs),
            "stalls": sum(run["stalls"] for run in runs),
            "painted_frames": report.median(run["painted_frames"] for run in runs),
            "generation_fps": report.median(run["generation_fps"] for run in runs),
            "settings": {name: getattr(args, name) for name in ("prompt", "size", "seconds", "fps")},
            "model": status["model"],
            "backend": status["backend"],
            "encoder": status["encoder"],
            "browser": Path(args.browser or find_browser()).name,
        },
        runs,
        args.save,
    )


if __name__ == "__main__":
    main()
