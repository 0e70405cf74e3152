"""`python -m bench.page`: what the page itself costs: its own scripts, the time until it can be used, the longest task.

Owns these measurements and their definitions:
    own_script_bytes, own_script_sent_bytes   our JavaScript as it is in the page, and compressed, as it is sent
    interactive_ms      since navigation began, until the Generate button is drawn and wired (fresh browser profile)
    bare_ms             the same of a page that is Gradio alone, with one button: what this machine and browser need
    longest_task_ms     longest task of the main thread, anybody's, from the click on Generate to the end of playback
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import logging
import sys
from collections.abc import Generator
from typing import Any

import gradio as gr
from playwright.sync_api import Browser, Page, sync_playwright

from bench import report
from bench.first_frame import DEFAULT_PROMPT, FLAGS, find_browser, free_port, prepare, press, serve
from web import ui

NOTE = """
window.noted = { interactive: null, tasks: [] };
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) noted.tasks.push([Math.round(task.startTime), Math.round(task.duration)]);
}).observe({ type: "longtask", buffered: true });
const look = () => {
  // The values are handed over by Gradio's own event, which is there only when the page is wired.
  if (document.querySelector("#wan-generate") && window.wan?.parts.values) noted.interactive = performance.now();
  else requestAnimationFrame(look);
};
look();
"""

_LOG = logging.getLogger(__name__)


def script_bytes() -> dict[str, int]:
    """Size of our own scripts."""
    script = ui.script().encode()
    return {"own_script_bytes": len(script), "own_script_sent_bytes": len(gzip.compress(script))}


def load(browser: Browser, url: str) -> tuple[Page, float]:
    """Open the page in a fresh profile; gives it, and the milliseconds until it could be used."""
    context = browser.new_context(locale="zh-CN", viewport={"width": 1440, "height": 900})
    context.add_init_script(NOTE)
    page = context.new_page()
    page.goto(url)
    page.wait_for_function("noted.interactive !== null")
    return page, float(page.evaluate("noted.interactive"))


@contextlib.contextmanager
def bare_page() -> Generator[str]:
    """Serve a page of one button from this process, wired as `load` asks of ours; yields its address."""
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Button("", elem_id="wan-generate")
        page.load(fn=None, js="() => { window.wan = { parts: { values: [] } }; }")
    # As `web.service` launches ours.
    _, url, _ = page.launch(server_port=free_port(), prevent_thread_lock=True, ssr_mode=False, quiet=True)
    try:
        yield url
    finally:
        page.close(verbose=False)


def longest_task(page: Page) -> int:
    """Milliseconds of the longest task noted since the last click on Generate; 0 where none took over 50."""
    tasks: list[int] = page.evaluate(
        "noted.tasks.filter(([start]) => start >= wan.job.session.marks.click).map(([, duration]) => duration)"
    )
    return max(tasks, default=0)


def measure(url: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One unmeasured load and clip first, so that server and disk are warm."""
    with bare_page() as bare, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=list(FLAGS))
        try:
            runs: list[dict[str, Any]] = []
            for number in range(args.runs + 1):
                page, bare_ms = load(browser, bare)
                page.context.close()
                page, interactive_ms = load(browser, url)
                prepare(page, url, args)
                clip = press(page, args.limit)
                run = {
                    "interactive_ms": round(interactive_ms),
                    "bare_ms": round(bare_ms),
                    "longest_task_ms": longest_task(page),
                    "stalls": clip["stalls"],
                }
                page.context.close()
                _LOG.info("%s", run)
                if number:
                    runs.append(run)
            return runs
        finally:
            browser.close()


def main() -> None:
    """Parse the flags, measure, print the JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description="What the page itself costs.")
    parser.add_argument("--url", help="a server that runs already and is warm (default: start app.py)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prompt", default=DEFAULT_PROMPT)
    parser.add_argument("--size", default="1280×720", type=lambda value: value.replace("x", "×"))
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--limit", type=float, default=180.0, help="seconds that one clip may take")
    report.add_save(parser)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    with contextlib.nullcontext(args.url) if args.url else serve("auto", None) as url:
        runs = measure(url if url.endswith("/") else url + "/", args)
    report.emit(
        {
            "bench": "page",
            **script_bytes(),
            "interactive_ms": report.median(run["interactive_ms"] for run in runs),
            "bare_ms": report.median(run["bare_ms"] for run in runs),
            "longest_task_ms": max(run["longest_task_ms"] for run in runs),
            "settings": {name: getattr(args, name) for name in ("size", "seconds", "fps")},
        },
        runs,
        args.save,
    )


if __name__ == "__main__":
    main()
