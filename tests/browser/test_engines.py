"""What a person does, in three real engines: Chromium, Firefox, WebKitGTK (Safari's). Finer tests: the other files.

`make test` drives Chromium alone; `make test-browsers` all that are installed.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from playwright.sync_api import Browser

from bench.drivers import DRIVERS, HEIGHT, WIDTH, Chromium, Driver
from tests.browser.proxy import CuttableProxy

pytestmark = pytest.mark.browser

FRAMES = 48  # 2 s at 24 fps
FIRST_FRAME_LIMIT_MS = 1800
ENDED = "wan.job.state && wan.hasEnded(wan.job.state)"
PLAYED = "wan.job.session.complete && wan.job.session.video.src.endsWith('video.mp4')"
READ = """const { session, state } = wan.job;
const { video, marks, stats } = session;
const least = Math.min(...stats.painted);
const buffered = Array.from(video.buffered, (_, i) => 0);
for (let i = 0; i < video.buffered.length; i++) buffered[i] = [video.buffered.start(i), video.buffered.end(i)];
return { id: wan.job.id, state, offset: session.offset, fragments: session.fragments, painted: stats.painted.size,
  reconnects: stats.reconnects, time: video.currentTime, duration: video.duration,
  error: video.error && video.error.code, buffered, first_ms: marks.painted - marks.click, least };"""


@pytest.fixture(scope="module", params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    if request.param == "chromium":  # one thread has one Playwright
        browser: Browser = request.getfixturevalue("browser")
        page = browser.new_page(locale="zh-CN", viewport={"width": WIDTH, "height": HEIGHT})
        yield Chromium(page, browser.version)
        page.close()
        return
    if request.config.getoption("--browsers") != "all":
        pytest.skip(f"{request.param}: `make test-browsers` drives it")
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(DRIVERS[request.param]())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield made


@pytest.fixture
def page(driver: Driver, url: str) -> Driver:
    return load(driver, url)


def load(driver: Driver, url: str) -> Driver:
    driver.open(url)
    driver.run("sessionStorage.clear(); localStorage.setItem('wan-checked', 'true');")
    driver.open(url)
    ready(driver)
    return driver


def ready(driver: Driver) -> None:
    # Gradio hands the values over once it is wired, and then fills the controls in: what is typed before is lost.
    driver.wait("document.querySelector('.wan-ready[data-stage=ready]') && document.querySelector('#wan-generate')")
    driver.wait("wan.parts.values")


def choose(driver: Driver, control: str, value: object) -> None:
    driver.run("document.querySelector(arguments[0]).click()", f"#wan-{control} input[value='{value}']")
    driver.wait("document.querySelector(arguments[0])?.checked", f"#wan-{control} input[value='{value}']")


def generate(driver: Driver, prompt: str, seconds: int = 2) -> None:
    before = driver.run("return wan.job.id")
    driver.fill("#wan-prompt textarea", prompt)
    choose(driver, "seconds", seconds)
    driver.click("#wan-generate")
    driver.wait("wan.job.id && wan.job.id !== arguments[0]", before)


def frames(driver: Driver, count: int) -> None:
    driver.wait("wan.job.session.fragments >= arguments[0]", count)


def read(driver: Driver) -> dict[str, Any]:
    return driver.run(READ)


def assert_whole(told: dict[str, Any]) -> None:
    """Every byte of the log was taken exactly once, and one unbroken stretch of video came of it."""
    assert told["error"] is None
    assert told["offset"] == told["state"]["bytes"]
    assert told["fragments"] == told["state"]["frames"]
    assert len(told["buffered"]) == 1


def video_of(driver: Driver) -> bytes:
    """What the download link of the page gives."""
    link = driver.wait("document.querySelector('#wan-download').href")
    with urllib.request.urlopen(link) as answer:
        return answer.read()


def decoded(clip: bytes) -> int:
    with av.open(io.BytesIO(clip)) as container:
        return sum(1 for _ in container.decode(video=0))


def prompt_is(driver: Driver, text: str) -> None:
    driver.wait("document.querySelector('#wan-prompt textarea').value === arguments[0]", text)


def test_the_first_frame_is_painted_early_and_all_frames_come(page: Driver) -> None:
    generate(page, "球 fps=30")
    page.wait("wan.job.session.marks.painted")
    early = read(page)
    assert early["fragments"] < FRAMES, "the first frame was painted only when all were there"
    assert early["first_ms"] <= FIRST_FRAME_LIMIT_MS
    page.wait(PLAYED)
    page.wait("wan.job.session.video.readyState >= 2")
    told = read(page)
    assert told["state"]["state"] == "done"
    assert told["offset"] == told["state"]["bytes"]
    assert told["fragments"] == told["state"]["frames"] == FRAMES
    assert told["painted"] >= FRAMES / 4, "a busy compositor leaves frames out; that all came is told by the fragments"
    assert told["time"] == pytest.approx(2.0, abs=0.1), "played to the end"
    assert told["duration"] == pytest.approx(2.0, abs=0.06)
    assert decoded(video_of(page)) == FRAMES


def test_cancel_keeps_what_was_made(page: Driver) -> None:
    generate(page, "球 fps=12", seconds=4)
    frames(page, 13)
    page.click("#wan-cancel")
    page.wait("wan.job.state.state === 'cancelled' && wan.job.session.complete")
    page.wait("wan.job.session.video.ended")
    told = read(page)
    assert 13 <= told["state"]["frames"] < 96
    assert_whole(told)
    assert decoded(video_of(page)) == told["state"]["frames"]


def test_a_partial_download_plays(page: Driver) -> None:
    generate(page, "球 fps=12", seconds=4)
    frames(page, 13)
    clip = video_of(page)
    page.click("#wan-cancel")
    count = decoded(clip)
    assert 13 <= count < 96
    page.wait(ENDED)
    end = page.run(
        """const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const video = document.createElement("video");
        video.muted = true;
        video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
        return new Promise((resolve) => {
          video.onended = () => resolve(video.currentTime);
          video.onerror = () => resolve(`error ${video.error.message}`);
          video.play();
        });""",
        base64.b64encode(clip).decode(),
    )
    assert end == pytest.approx(count / 24, abs=0.1)


def test_a_reload_resumes(page: Driver) -> None:
    generate(page, "球 fps=14")
    page.wait("wan.job.session.video.currentTime > 0.6")
    before = read(page)
    page.reload()
    ready(page)
    page.wait("wan.job.session && wan.job.session.marks.painted")
    page.wait(PLAYED)
    told = read(page)
    assert told["id"] == before["id"]
    assert told["state"]["state"] == "done"
    assert told["fragments"] == FRAMES
    assert told["least"] >= round(before["time"] * 24) - 1, "the beginning was shown twice"
    prompt_is(page, "球 fps=14")


def test_a_dropped_connection_resumes(driver: Driver, proxy: CuttableProxy) -> None:
    load(driver, f"http://127.0.0.1:{proxy.port}/")
    generate(driver, "球 fps=16")
    for count in (5, 25):
        frames(driver, count)
        proxy.cut()
        driver.wait("wan.job.notice === 'reconnecting'")
        proxy.mend()
        driver.wait("wan.job.notice === '' && wan.job.session.fragments > arguments[0]", count)
    driver.wait(PLAYED)
    told = read(driver)
    assert told["reconnects"] >= 2
    assert told["offset"] == told["state"]["bytes"]
    assert told["fragments"] == FRAMES
    assert told["error"] is None


def test_a_picture_that_breaks_goes_on_where_it_was(page: Driver) -> None:
    generate(page, "球 fps=14")
    page.wait("wan.job.session.video.currentTime > 0.6")
    before = read(page)
    page.run(
        """const { session } = wan.job;
        while (session.buffer.updating) await wan.sleep(1);
        session.stats.painted.clear();
        session.source.endOfStream("decode");"""
    )
    page.wait("wan.job.session.reopened === 1")
    page.wait(PLAYED)
    told = read(page)
    assert told["id"] == before["id"]
    assert told["fragments"] == FRAMES
    assert told["error"] is None
    assert told["least"] >= round(before["time"] * 24) - 1, "the beginning was shown twice"
    assert told["time"] == pytest.approx(2.0, abs=0.1), "played to the end"


def test_control_enter_queues_the_prompt_as_it_stands(page: Driver) -> None:
    for prompt in ("第一个 fps=40", "第二个 fps=40"):
        before = page.run("return wan.job.id")
        page.fill("#wan-prompt textarea", prompt)
        page.control_enter("#wan-prompt textarea")
        page.wait("wan.job.id && wan.job.id !== arguments[0]", before)
        assert read(page)["state"]["request"]["prompt"] == prompt
    page.wait(ENDED)


def test_a_preset_comes_back(page: Driver, tmp_path: Path) -> None:
    page.fill("#wan-prompt textarea", "我的预设")
    choose(page, "fps", 30)
    choose(page, "size", "1024×576")
    page.run(
        """const make = URL.createObjectURL;
        URL.createObjectURL = (blob) => make.call(URL, (window.saved = blob));"""
    )
    page.click("#wan-preset-save")
    page.wait("!!window.saved")
    saved = tmp_path / "mine.json"
    saved.write_text(page.run("return saved.text()"), encoding="utf-8")
    assert json.loads(saved.read_text(encoding="utf-8"))["fps"] == 30
    page.fill("#wan-prompt textarea", "另一个")
    choose(page, "fps", 24)
    choose(page, "size", "768×432")
    page.upload("#wan-preset-row input[type=file]", saved)
    prompt_is(page, "我的预设")
    page.wait("document.querySelector(\"#wan-fps input[value='30']\").checked")
    page.wait("document.querySelector(\"#wan-size input[value='1024×576']\").checked")


def test_an_mp4_brings_its_settings_back(page: Driver, tmp_path: Path) -> None:
    generate(page, "带设置的视频 fps=60")
    page.wait("wan.job.state.state === 'done'")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(video_of(page))
    seed = read(page)["state"]["seed"]
    page.fill("#wan-prompt textarea", "别的")
    page.upload("#wan-preset-row input[type=file]", clip)
    prompt_is(page, "带设置的视频 fps=60")
    page.wait("wan.valueOf('seed') === arguments[0]", seed)


def test_another_prompt_takes_effect_while_it_streams(page: Driver) -> None:
    generate(page, "球 fps=12")
    frames(page, 3)
    page.fill("#wan-prompt textarea", "猫 fps=60")
    page.click(".wan-change-go")
    page.wait("wan.job.state.request.prompt_changes.length === 1")
    page.wait(PLAYED)
    told = read(page)
    assert told["state"]["request"]["prompt_changes"][0]["prompt"] == "猫 fps=60"
    assert told["fragments"] == FRAMES
