"""Forecast, another prompt while it streams, alarm, checklist and debug page, in Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route

from tests.browser.test_page import set_number
from tests.browser.test_player import decoded_frames, generate, wait_for_frames, wait_until_played

pytestmark = pytest.mark.browser


def level(page: Page, wanted: str) -> None:
    page.wait_for_selector(f".wan-forecast[data-level={wanted}]")


def test_the_forecast_follows_the_selectors(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.check("#wan-seconds input[value='2']", force=True)
    level(page, "green")
    page.wait_for_function("document.querySelector('.wan-forecast').innerText.includes('166 MB')")
    assert "512 MB" in page.inner_text(".wan-forecast")
    page.check("#wan-size input[value='1280×720']", force=True)
    level(page, "amber")
    page.wait_for_function("document.querySelector('.wan-forecast').innerText.includes('内存偏紧')")
    page.check("#wan-size input[value='768×432']", force=True)
    level(page, "green")


def test_what_is_foreseen_as_red_runs_after_a_confirmation(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.click("#wan-advanced > button")
    page.fill("#wan-prompt textarea", "球 fps=60")
    page.check("#wan-size input[value='1280×720']", force=True)
    page.check("#wan-seconds input[value='8']", force=True)
    page.check("#wan-fps input[value='30']", force=True)
    set_number(page, "#wan-batch", "4")
    level(page, "red")
    page.press("#wan-prompt textarea", "Control+Enter")
    page.wait_for_selector(".wan-sure:not([hidden])")
    assert page.evaluate("document.activeElement.className").endswith("wan-go"), "one more Enter is the answer"
    assert page.evaluate("wan.job.id") is None
    page.click(".wan-sure .wan-button:not(.wan-go)")
    assert page.is_hidden(".wan-sure")
    page.click("#wan-generate")
    page.click(".wan-go")
    page.wait_for_function("wan.job.clips.length === 4")
    page.click("#wan-cancel")
    page.wait_for_function("Object.values(wan.job.states).every(wan.hasEnded)")
    before = page.evaluate("wan.job.id")
    page.click("#wan-generate")
    page.wait_for_function("before => wan.job.id !== before", arg=before)
    assert page.is_hidden(".wan-sure"), "asked once for the same settings"
    page.click("#wan-cancel")
    page.wait_for_function("Object.values(wan.job.states).every(wan.hasEnded)")


def test_another_prompt_takes_effect_while_it_streams(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=12")
    wait_for_frames(page, 3)
    assert page.is_hidden(".wan-change")
    page.fill("#wan-prompt textarea", "猫 fps=60")
    page.click(".wan-change-go")
    page.wait_for_function("document.querySelector('.wan-change').innerText.includes('下一段起：猫')")
    page.wait_for_function("wan.job.state.request.prompt_changes.length === 1")
    read = wait_until_played(page)
    (changed,) = read["state"]["request"]["prompt_changes"]
    assert changed["prompt"] == "猫 fps=60"
    assert changed["frame"] in (13, 25)
    assert f"第 {changed['frame']} 帧起" in page.inner_text(".wan-figures")
    assert page.is_hidden(".wan-change")
    assert decoded_frames(page) == 48


def test_a_prompt_that_is_refused_in_the_middle_says_why(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=12")
    wait_for_frames(page, 3)
    page.fill("#wan-prompt textarea", "(猫:1.3")
    page.click(".wan-change-go")
    page.wait_for_selector(".wan-error:not([hidden])")
    assert "提示词：第" in page.inner_text(".wan-error")
    assert wait_until_played(page)["state"]["request"]["prompt_changes"] == []


def test_the_alarm_cancels_where_memory_runs_short(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    free = 0.3

    def short(route: Route) -> None:
        told = route.fetch().json()
        told["memory"]["free_bytes"] = free * told["memory"]["total_bytes"]
        route.fulfill(body=json.dumps(told), content_type="application/json")

    page.route("**/wan/status", short)
    generate(page, "球 fps=8", seconds=4)
    page.wait_for_timeout(1200)
    assert page.is_hidden(".wan-alarm"), "30 % are free, the alarm is set to 10 %"
    free = 0.05
    page.wait_for_selector(".wan-alarm:not([hidden])")
    assert "内存告急" in page.inner_text(".wan-alarm")
    page.click(".wan-alarm-cancel")
    page.wait_for_function("wan.job.state.state === 'cancelled'")
    page.wait_for_selector(".wan-alarm", state="hidden")
    free = 0.3
    page.click("#wan-advanced > button")
    set_number(page, "#wan-alarm-percent", "60")
    assert page.evaluate("wan.valueOf('alarm_percent')") == 60
    generate(page, "球 fps=8", seconds=4)
    page.wait_for_selector(".wan-alarm:not([hidden])")
    page.click(".wan-alarm .wan-close")
    page.wait_for_timeout(800)
    assert page.is_hidden(".wan-alarm"), "put away for this job"
    page.click("#wan-cancel")


def test_the_checklist_opens_at_the_first_visit_and_never_blocks(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.wait_for_selector(".wan-checks:not([hidden])")
    assert page.locator(".wan-check").count() == 5
    assert "没有检测到 NVIDIA GPU" in page.inner_text(".wan-checks")
    generate(page)
    page.wait_for_selector(".wan-checks", state="hidden")
    wait_until_played(page)
    page.reload()
    page.wait_for_selector(".wan-machine[data-level=note]")
    assert page.is_hidden(".wan-checks"), "once"
    page.focus(".wan-machine")
    page.keyboard.press("Enter")
    page.wait_for_selector(".wan-checks:not([hidden])")
    page.keyboard.press("Escape")
    assert page.is_hidden(".wan-checks")
    page.click(".wan-machine")
    page.click(".wan-rebuild")
    page.wait_for_selector(".wan-stop-building")
    assert "50 %" in page.inner_text(".wan-checks")
    page.click(".wan-stop-building")
    page.wait_for_selector(".wan-rebuild")


def test_the_debug_page_has_the_curves_and_the_servers_events(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url + "?debug=1")
    page.wait_for_function("document.querySelector('.wan-legend').innerText.includes('本进程')")
    generate(page)
    page.wait_for_function("/\\+\\d+\\.\\d\\d s {2}/.test(document.querySelector('.wan-log').textContent)")
    drawn = page.evaluate("""() => {
        const { width, height } = wan.parts.curves;
        return wan.parts.curves.getContext("2d").getImageData(0, 0, width, height).data.some((value) => value);
    }""")
    assert drawn
