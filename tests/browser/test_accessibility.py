"""The page for everybody, in Chromium: no serious finding of axe-core in any state, every control by the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.test_history import FAST, pick_two, until_done
from tests.browser.test_machine import level
from tests.browser.test_page import set_number
from tests.browser.test_player import generate, wait_for_frames, wait_until_played

pytestmark = pytest.mark.browser

# Every element that a press or a key does something with, and that can be seen.
CONTROLS = """() => {
  const seen = (node) => node.checkVisibility() && node.getClientRects().length && !node.disabled
    && node.getAttribute("aria-disabled") !== "true" && !node.closest("[hidden]");
  const kinds = "button, input, textarea, select, a[href], summary, [role=slider]";
  const all = [...document.querySelectorAll(kinds)].filter(seen);
  window.tabbed = new Set();
  window.controls = all.filter((node) => {
    if (node.closest(".wan-strip, .wan-cards, footer")) return false; // one stop each (test_studio)
    return node.type !== "radio" || node.checked; // a group is one stop, at what is chosen
  });
  document.body.tabIndex = -1;
  document.body.focus();
  return controls.length;
}"""
UNREACHED = """controls.filter((node) => !tabbed.has(node)).map((node) => node.outerHTML.slice(0, 160))"""


def findings(page: Page) -> list[str]:
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]} ({len(one['nodes'])})"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def dark(page: Page) -> None:
    page.click(".wan-theme")
    page.wait_for_function("document.body.classList.contains('dark')")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
@pytest.mark.parametrize("width", [1280, 375])
def test_no_serious_finding_before_a_run(url: str, open_page: Callable[..., Page], locale: str, width: int) -> None:
    page = open_page(url, locale=locale, width=width, height=850)
    page.wait_for_selector(".wan-part")
    assert findings(page) == []
    if width == 375:
        page.click(".wan-machine")
    page.wait_for_selector(".wan-checks:not([hidden])")
    page.click("#wan-advanced > button")
    page.fill("#wan-prompt textarea", "一座雪山，几棵树，震撼，绝美，(夜晚:1.3)，水墨风，" + "一只猫坐在草地上，" * 14)
    page.click("#wan-reveal")
    page.wait_for_selector(".wan-mono del")
    page.wait_for_selector(".wan-finding")
    assert findings(page) == []
    dark(page)
    assert findings(page) == []


def test_no_serious_finding_while_it_runs(url: str, open_page: Callable[..., Page]) -> None:
    first, page = open_page(url), open_page(url)
    generate(first, "球 fps=10")
    generate(page, "球 fps=10", seconds=4)
    page.wait_for_function("wan.job.state.queue_position > 0")
    assert findings(page) == []
    first.click("#wan-cancel")
    wait_for_frames(page, 3)
    page.fill("#wan-prompt textarea", "猫")
    page.wait_for_selector(".wan-change-go")
    assert findings(page) == []
    page.route("**/wan/status", _short_of_memory)
    page.wait_for_selector(".wan-alarm:not([hidden])")
    assert findings(page) == []
    dark(page)
    assert findings(page) == []
    page.click("#wan-cancel")
    page.wait_for_function("wan.job.state.state === 'cancelled'")
    assert findings(page) == []


def _short_of_memory(route: Any) -> None:
    told = route.fetch().json()
    told["memory"]["free_bytes"] = 0
    route.fulfill(json=told)


def test_no_serious_finding_afterwards(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url + "?debug=1")
    generate(page, "球 fps=60 fail=20")
    page.wait_for_selector(".wan-error:not([hidden])")
    assert findings(page) == []
    for _ in range(2):
        generate(page, FAST)
        until_done(page)
    wait_until_played(page)
    assert findings(page) == []
    dark(page)
    assert findings(page) == []
    pick_two(page)
    assert findings(page) == []


def test_no_serious_finding_in_a_confirmation(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.click("#wan-advanced > button")
    page.check("#wan-size input[value='1280×720']", force=True)
    page.check("#wan-seconds input[value='8']", force=True)
    page.check("#wan-fps input[value='30']", force=True)
    set_number(page, "#wan-batch", "4")
    level(page, "red")
    page.click("#wan-generate")
    page.wait_for_selector(".wan-sure:not([hidden])")
    assert findings(page) == []


@pytest.mark.parametrize("width", [1280, 375])
def test_every_control_is_reached_by_the_tab_key(url: str, open_page: Callable[..., Page], width: int) -> None:
    page = open_page(url + "?debug=1", width=width, height=850)
    page.click("#wan-advanced > button")
    page.click("#wan-reveal")
    generate(page, FAST)
    until_done(page)
    wait_until_played(page)
    page.wait_for_selector(".wan-continue")
    count = page.evaluate(CONTROLS)
    assert count > 30
    for _ in range(2 * count + 60):
        page.keyboard.press("Tab")
        page.evaluate("tabbed.add(document.activeElement)")
    assert page.evaluate(UNREACHED) == []


def test_what_has_the_focus_is_not_under_the_buttons(url: str, open_page: Callable[..., Page]) -> None:
    """The row of the Generate button stays in sight; WCAG 2.2 wants the focus never wholly behind such a thing."""
    page = open_page(url, height=700)
    page.focus("#wan-prompt textarea")
    covered: list[str] = []
    for _ in range(24):
        page.keyboard.press("Tab")
        covered += page.evaluate(
            """() => {
              const [node, bar] = [document.activeElement, document.querySelector("#wan-actions")];
              const { left, right, top, bottom } = node.getBoundingClientRect();
              const inside = bar.getBoundingClientRect();
              const beside = right < left || right > inside.right || left < inside.left;
              return !bar.contains(node) && !beside && top >= inside.top && bottom <= inside.bottom
                ? [node.outerHTML.slice(0, 120)] : [];
            }"""
        )
    assert covered == []
