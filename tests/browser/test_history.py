"""What was made before, in Chromium: kept across restarts, gone on with, made again, deleted, compared."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from bench.first_frame import free_port
from tests.browser.test_page import set_number
from tests.browser.test_player import decoded_frames, generate, wait_for_frames, wait_until_played
from tests.serving import serving

pytestmark = pytest.mark.browser

FAST = "球 fps=60"


def until_done(page: Page) -> None:
    page.wait_for_function("wan.job.state.state === 'done'")


def tiles(page: Page, count: int) -> None:
    page.wait_for_function("count => document.querySelectorAll('.wan-tile').length === count", arg=count)


def follow(page: Page, button: str) -> None:
    """Press what makes another job, and wait until it is the page's."""
    before = page.evaluate("wan.job.id")
    page.click(button)
    page.wait_for_function("before => wan.job.id !== before", arg=before)


def pick_two(page: Page) -> None:
    for i in (1, 2):
        page.check(f".wan-tile:nth-child({i}) input")
    page.wait_for_selector(".wan-history-compare[aria-disabled=false]")
    page.click(".wan-history-compare")
    page.wait_for_function("[...document.querySelectorAll('.wan-pair video')].every((video) => video.readyState >= 3)")


def test_a_restart_loses_nothing_and_an_interrupted_job_goes_on(
    tmp_path: Path, new_context: Callable[..., BrowserContext]
) -> None:
    port = free_port()
    page = new_context().new_page()
    with serving(tmp_path, port):
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector(".wan-ready[data-stage=ready]")
        generate(page, FAST)
        until_done(page)
        generate(page, "慢 fps=4")
        wait_for_frames(page, 5)
    page.wait_for_selector(".wan-ready[data-stage=offline]")
    with serving(tmp_path, port):
        page.goto(f"http://127.0.0.1:{port}/")
        tiles(page, 2)
        assert "已中断" in page.inner_text(".wan-tile:nth-child(1)")
        assert "2 s" in page.inner_text(".wan-tile:nth-child(2)")
        assert page.evaluate("document.querySelector('.wan-tile img').naturalWidth") == 768
        page.click(".wan-tile:nth-child(1) .wan-tile-open")
        page.wait_for_function("wan.job.state && wan.job.state.state === 'interrupted'")
        page.wait_for_function("wan.job.session.video.currentTime > 0")
        assert "服务器中途停止" in page.inner_text(".wan-state")
        assert page.is_hidden(".wan-error")
        kept = page.evaluate("wan.job.state.frames")
        assert decoded_frames(page) == kept
        follow(page, ".wan-continue")
        read = wait_until_played(page)
        assert (read["state"]["kept_frames"], read["state"]["frames"]) == (kept, 48)
        assert decoded_frames(page) == 48
        tiles(page, 3)


def test_two_more_seconds_are_played_from_where_it_ended(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, FAST)
    wait_until_played(page)  # nothing of the first clip is painted after this
    page.select_option(".wan-longer select", "2")
    page.evaluate("shown.length = 0")
    follow(page, ".wan-continue")
    read = wait_until_played(page)
    assert (read["state"]["frames"], read["state"]["request"]["earlier_seconds"]) == (96, 2)
    assert read["duration"] == pytest.approx(4.0, abs=0.05)
    assert min(read["shown"]) == pytest.approx(1.0, abs=0.2), "a second before the join, not from the start"
    assert decoded_frames(page) == 96
    page.select_option(".wan-longer select", "2")
    follow(page, ".wan-continue")
    until_done(page)
    assert page.evaluate("wan.job.state.frames") == 144


def test_again_with_another_seed_and_the_seed_taken_over(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, FAST)
    until_done(page)
    first = page.evaluate("wan.job.state.request")
    page.fill("#wan-prompt textarea", "别的")
    follow(page, ".wan-again")
    until_done(page)
    second = page.evaluate("wan.job.state.request")
    assert second["seed"] != first["seed"]
    assert {**second, "seed": 0} == {**first, "seed": 0}
    page.click(".wan-use")
    page.wait_for_function("text => document.querySelector('#wan-prompt textarea').value === text", arg=FAST)
    page.click("#wan-advanced > button")
    page.wait_for_function(f"document.querySelector('#wan-seed input')?.value === '{second['seed']}'")
    assert page.get_attribute(".wan-poster-link", "href").endswith("first.jpg?download=1")


def test_a_link_shows_the_job_in_another_browser_and_in_an_open_page(
    url: str, open_page: Callable[..., Page], new_context: Callable[..., BrowserContext]
) -> None:
    page = open_page(url)
    generate(page, FAST)
    until_done(page)
    link, first = page.url, page.evaluate("wan.job.id")
    assert link.endswith(f"#job={first}")
    generate(page, FAST)
    page.evaluate("link => { location.href = link; }", link)
    page.wait_for_function("first => wan.job.id === first", arg=first)
    other = new_context().new_page()
    other.goto(link)
    other.wait_for_selector(".wan-ready[data-stage=ready]")
    other.wait_for_function("wan.job.session && wan.job.session.video.src.endsWith('video.mp4')")
    assert other.evaluate("wan.job.id") == first
    assert other.is_hidden(".wan-history"), "it is not the other person's history"


def test_deleting_asks_first_and_leaves_nothing(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    for _ in range(2):
        generate(page, FAST)
        until_done(page)
    tiles(page, 2)
    gone = page.evaluate("wan.job.id")
    page.focus(".wan-tile:nth-child(1) .wan-tile-delete")
    page.keyboard.press("Enter")
    assert page.inner_text(".wan-tile:nth-child(1) .wan-tile-delete") == "删除？"
    tiles(page, 2)
    page.keyboard.press("Enter")
    tiles(page, 1)
    assert page.evaluate("wan.job.id") is None
    assert page.inner_text(".wan-veil strong") == "写一句话，按“生成”"
    assert page.evaluate("id => fetch(wan.url(`jobs/${id}`)).then((answer) => answer.status)", gone) == 404
    page.reload()
    tiles(page, 1)


def test_a_batch_is_a_grid_and_each_clip_is_in_the_history(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.click("#wan-advanced > button")
    set_number(page, "#wan-batch", "4")
    generate(page, FAST)
    page.wait_for_function("wan.job.clips.length === 4")
    all_done = "Object.values(wan.job.states).filter((state) => state.state === 'done').length === 4"
    page.wait_for_function(all_done, timeout=120_000)  # four clips: a busy machine takes its time
    tiles(page, 4)
    places = page.evaluate(
        "[...document.querySelectorAll('.wan-clip')].map((tile) => tile.getBoundingClientRect().left)"
    )
    assert len(places) == 4
    assert len(set(places)) > 1


@pytest.mark.parametrize("width", [1280, 375])
def test_two_videos_play_in_step(url: str, open_page: Callable[..., Page], width: int) -> None:
    page = open_page(url, width=width, height=800)
    generate(page, "白猫 fps=60")
    until_done(page)
    generate(page, "黑狗 fps=60", seconds=4)
    until_done(page)
    pick_two(page)
    times = "[...document.querySelectorAll('.wan-pair video')].map((video) => video.currentTime)"
    page.keyboard.press("Enter")  # the play button has the focus
    page.wait_for_function(f"Math.min(...{times}) > 0.6")
    longer, shorter = page.evaluate(times)
    assert abs(longer - shorter) < 0.25
    page.focus(".wan-compare-bar input")
    page.evaluate("""() => {
        const scrubber = document.querySelector(".wan-compare-bar input");
        scrubber.value = 1.5;
        scrubber.dispatchEvent(new Event("input"));
    }""")
    page.wait_for_function(f"{times}.every((time) => Math.abs(time - 1.5) < 0.03)")
    assert page.inner_text(".wan-compare-play") == "播放"
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{times}.every((time) => Math.abs(time - 1.5 - 1 / 24) < 0.03)")
    page.keyboard.press("End")
    page.wait_for_function(f"Math.abs({times}[0] - 4) < 0.05 && Math.abs({times}[1] - 2) < 0.05")
    differ = page.eval_on_selector_all(".wan-differs th", "nodes => nodes.map((node) => node.textContent)")
    assert differ == ["提示词", "时长", "种子"]
    boxes = [video.bounding_box() for video in page.query_selector_all(".wan-pair video")]
    beside = boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert beside is (width > 760)
    assert page.evaluate("document.querySelector('.wan-compare').scrollWidth") <= width
    assert all(box["x"] + box["width"] <= width for box in boxes)
    page.keyboard.press("Escape")
    page.wait_for_selector(".wan-compare", state="detached")


DROP = """({ content, name }) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    for (const kind of ["dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
    }
}"""


def drop(page: Page, content: bytes, name: str) -> None:
    page.evaluate(DROP, {"content": base64.b64encode(content).decode(), "name": name})


def test_a_file_dropped_on_the_page_brings_its_settings(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "带设置的视频 fps=60")
    until_done(page)
    seed = page.evaluate("wan.job.state.seed")
    clip = page.request.get(page.get_attribute("#wan-download", "href")).body()
    page.fill("#wan-prompt textarea", "别的")
    drop(page, clip, "clip.mp4")
    page.wait_for_function("document.querySelector('#wan-prompt textarea').value === '带设置的视频 fps=60'")
    page.click("#wan-advanced > button")
    page.wait_for_function(f"document.querySelector('#wan-seed input')?.value === '{seed}'")
    drop(page, json.dumps({"prompt": "来自预设", "fps": 30}).encode(), "mine.json")
    page.wait_for_function("document.querySelector('#wan-prompt textarea').value === '来自预设'")
    drop(page, b"text", "notes.txt")
    page.wait_for_function("document.querySelector('.wan-toast').textContent.includes('JSON')")
    drop(page, b"nothing of the kind", "bad.mp4")
    page.wait_for_selector(".wan-error:not([hidden])")
    assert "由本应用生成的 MP4" in page.inner_text(".wan-error")
