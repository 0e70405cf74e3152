"""`python -m bench.record`: the moving picture of a real session, for the README.

Owns what is done in it, and how it is put together. The page is the shipped `app.py`, started here, or one that runs
already (`--url`); Chromium hands every picture over with the moment at which it was drawn, so that the speed seen is
the machine's own. Prints one JSON object with what was recorded.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from bench import report
from bench.first_frame import FLAGS, find_browser, serve

OUT = report.ROOT / "docs" / "session.webp"
WIDTH, HEIGHT = 1280, 800
PROMPT = "一位红斗篷的少女在草地上慢慢向右走，黄昏"
MAX_BYTES = 3_000_000
QUALITIES = (70, 55, 40, 28, 18)
REST_MS = 1500
"""How long the last picture stays."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of the window, and when it was drawn, in seconds."""

    at_s: float
    jpeg: bytes


def prepare(page: Page, url: str, seconds: int) -> None:
    """What is not filmed: the page loads, and is set to the length."""
    page.goto(url)
    page.wait_for_selector(".wan-ready[data-stage=ready]")
    page.wait_for_selector(".wan-part")
    page.check(f"#wan-seconds input[value='{seconds}']", force=True)
    page.evaluate("scrollTo(0, 0)")


def perform(page: Page, prompt: str) -> dict[str, Any]:
    """What a person does: look, type a sentence, press the button, watch."""
    page.wait_for_timeout(500)
    page.click("#wan-prompt textarea")
    page.keyboard.press("Control+a")
    page.keyboard.type(prompt, delay=70)
    page.wait_for_function("text => wan.advised() === text", arg=prompt)
    page.wait_for_timeout(500)
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#wan-generate").bounding_box()
    if box is None:
        raise RuntimeError("the Generate button is not in the page")
    # By its place: it is in sight, and Playwright's own click would scroll to where it would stand without sticking.
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("wan.job.session?.complete && wan.job.session.swapped", timeout=240_000)
    page.wait_for_timeout(700)
    told: dict[str, Any] = page.evaluate(
        """() => ({ first_painted_frame_ms: Math.round(wan.job.session.marks.painted - wan.job.session.marks.click),
          generation_fps: wan.job.state.generation_fps, num_frames: wan.job.state.num_frames,
          state: wan.job.state.state })"""
    )
    return told


def film(url: str, prompt: str, seconds: int) -> tuple[list[Shot], dict[str, Any]]:
    """Perform, with the camera on."""
    shots: list[Shot] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=list(FLAGS))
        context = browser.new_context(locale="zh-CN", viewport={"width": WIDTH, "height": HEIGHT})
        context.add_init_script("localStorage.setItem('wan-checked', 'true')")
        page = context.new_page()
        prepare(page, url, seconds)
        session = context.new_cdp_session(page)

        def take(event: dict[str, Any]) -> None:
            shots.append(Shot(float(event["metadata"]["timestamp"]), base64.b64decode(event["data"])))
            session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

        session.on("Page.screencastFrame", take)
        session.send("Page.startScreencast", {"format": "jpeg", "quality": 85, "everyNthFrame": 1})
        told = perform(page, prompt)
        session.send("Page.stopScreencast")
        browser.close()
    return shots, told


def thin(shots: list[Shot], fps: float) -> list[tuple[bytes, int]]:
    """At most `fps` pictures a second, from the first picture of the drawn page on, with how long each stays in ms."""
    kept: list[Shot] = []
    for shot in shots:
        if kept and shot.at_s - kept[-1].at_s < 1 / fps:
            kept[-1] = Shot(kept[-1].at_s, shot.jpeg)  # the newest of the interval
        else:
            kept.append(shot)
    ends = [*(shot.at_s for shot in kept[1:]), kept[-1].at_s + REST_MS / 1000]
    return [(shot.jpeg, max(20, round(1000 * (end - shot.at_s)))) for shot, end in zip(kept, ends, strict=True)]


def write(frames: list[tuple[bytes, int]], width: int, out: Path) -> int:
    """As an animated WebP, of the best quality that stays under `MAX_BYTES`; gives its size.

    Raises:
        RuntimeError: none does.
    """
    pictures = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg, _ in frames]
    height = round(width * pictures[0].height / pictures[0].width)
    pictures = [picture.resize((width, height), Image.Resampling.LANCZOS) for picture in pictures]
    durations = [duration for _, duration in frames]
    for quality in QUALITIES:
        made = io.BytesIO()
        pictures[0].save(
            made,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=durations,
            loop=0,
            quality=quality,
            method=4,
        )
        _LOG.info("quality %d: %d bytes", quality, made.tell())
        if made.tell() <= MAX_BYTES:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(made.getvalue())
            return made.tell()
    raise RuntimeError(f"over {MAX_BYTES} bytes at any quality: fewer --seconds, --fps or a smaller --width")


def main() -> None:
    """Parse the flags, film, write, print the JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.record", description="A moving picture of a real session.")
    parser.add_argument("--url", help="a page that runs already and is warm (default: start app.py)")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--fps", type=float, default=8.0, help="pictures a second, at most")
    parser.add_argument("--width", type=int, default=960)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with contextlib.nullcontext(args.url) if args.url else serve("auto", None) as url:
        shots, told = film(url, args.prompt, args.seconds)
    frames = thin(shots, args.fps)
    size_bytes = write(frames, args.width, args.out)
    length_ms = sum(duration for _, duration in frames)
    figures = {"pictures": len(frames), "length_ms": length_ms, "bytes": size_bytes, **told}
    report.emit({"bench": "record", "prompt": args.prompt, **figures}, [], None)


if __name__ == "__main__":
    main()
