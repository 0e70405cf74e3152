"""What the page costs a browser: its scripts, the time until it can be used, the longest task while a clip streams."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from bench.page import bare_page, load, longest_task, script_bytes
from tests.browser.test_player import generate

pytestmark = pytest.mark.browser

TRIES = 3  # the machine does other things too: the best try is the page's own


def test_our_scripts_as_they_are_sent() -> None:
    assert script_bytes()["own_script_sent_bytes"] <= 40_000


def test_it_can_be_used_within_two_seconds(browser: Browser, url: str) -> None:
    """Two seconds; on a machine that needs over 0.8 for Gradio's own bare page, two and a half times that."""
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    with bare_page() as bare:
        for name, address in [("bare", bare), ("ours", url)] * (1 + TRIES):  # the first of both warms server and disk
            page, interactive_ms = load(browser, address)
            page.context.close()
            times[name].append(interactive_ms)
    assert min(times["ours"]) <= max(2000, 2.5 * min(times["bare"])), times


def test_no_task_over_100_ms_while_1280x720_streams(browser: Browser, url: str) -> None:
    longest: list[int] = []
    for _ in range(TRIES):
        page, _ = load(browser, url)
        page.check("#wan-size input[value='1280×720']", force=True)
        generate(page, "球 fps=20")
        page.wait_for_function("wan.job.session.complete && wan.job.session.swapped")
        longest.append(longest_task(page))
        page.context.close()
        if longest[-1] <= 100:
            return
    pytest.fail(f"longest tasks: {longest} ms")
