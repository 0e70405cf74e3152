"""The player in Chromium: what was made is shown once, in order, whatever the network and the person do."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import av
import pytest
from playwright.sync_api import Page

from tests.browser.proxy import CuttableProxy

pytestmark = pytest.mark.browser

FRAMES = 48  # 2 s at 24 fps
LIMIT_MS = 30_000

READ = """() => {
  const { id, session, state } = wan.job;
  const buffered = [];
  const ranges = session.video.buffered;
  for (let i = 0; i < ranges.length; i++) buffered.push([ranges.start(i), ranges.end(i)]);
  return { id, state, buffered, offset: session.offset, fragments: session.fragments, received: session.stats.bytes,
    reconnects: session.stats.reconnects, stalls: session.stats.stalls, time: session.video.currentTime,
    duration: session.video.duration, source: session.video.src, shown, error: session.video.error };
}"""


def generate(page: Page, prompt: str = "球 fps=40", seconds: int = 2) -> None:
    """Ask for a clip as a person does, and wait until the job is the page's."""
    before = page.evaluate("wan.job.id")
    page.fill("#wan-prompt textarea", prompt)
    page.check(f"#wan-seconds input[value='{seconds}']", force=True)
    page.click("#wan-generate")
    page.wait_for_function("before => wan.job.id && wan.job.id !== before", arg=before)


def wait_for_frames(page: Page, count: int) -> None:
    page.wait_for_function("count => wan.job.session.fragments >= count", arg=count)


def wait_until_played(page: Page) -> dict[str, Any]:
    """Wait until the clip was made, played and replaced by the finished file; answers what the page knows."""
    page.wait_for_function("wan.job.session.complete && wan.job.session.video.src.endsWith('video.mp4')")
    return page.evaluate(READ)


def numbers(shown: list[float], fps: int = 24) -> list[int]:
    return [round(time * fps) for time in shown]


def assert_whole(read: dict[str, Any]) -> None:
    """Every byte of the log was taken exactly once, and one unbroken stretch of video came of it."""
    assert read["error"] is None
    assert read["offset"] == read["state"]["bytes"]
    assert read["fragments"] == read["state"]["frames"]


def assert_in_order(shown: list[float], first: int = 0) -> None:
    """Frames only go forward, and at least half of them reached the compositor, which leaves some out when busy."""
    order = numbers(shown)
    assert order == sorted(order)
    assert first <= order[0] <= first + 3
    assert len(set(order)) >= (FRAMES - first) / 2


def test_plays_while_it_is_made_and_ends_as_a_seekable_file(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page)
    page.wait_for_function("wan.job.session.marks.painted")
    early = page.evaluate(READ)
    assert early["fragments"] < FRAMES, "the first frame was painted only when all were there"
    read = wait_until_played(page)
    assert read["state"]["state"] == "done"
    assert_whole(read)
    assert read["received"] == read["state"]["bytes"]
    assert_in_order(read["shown"])
    assert read["stalls"] <= 1
    assert read["duration"] == pytest.approx(2.0, abs=0.05)
    assert read["time"] == pytest.approx(2.0, abs=0.06), "the position was lost when the file took the stream's place"
    page.evaluate("wan.job.session.video.currentTime = 0.5")
    page.wait_for_function("!wan.job.session.video.seeking && wan.job.session.video.currentTime === 0.5")
    assert page.evaluate("wan.job.session.video.seekable.end(0)") == pytest.approx(2.0, abs=0.05)


def test_playback_slows_down_instead_of_stalling(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=12")
    rates: list[float] = []
    while not page.evaluate("wan.job.session.complete"):
        rates.append(page.evaluate("wan.job.session.video.playbackRate"))
        page.wait_for_timeout(100)
    read = wait_until_played(page)
    assert min(rates) < 0.8
    assert min(rates) >= 0.25
    assert read["stalls"] <= 2
    assert_in_order(read["shown"])


def test_the_click_makes_one_post_and_no_gradio_event(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    asked: list[tuple[str, str]] = []
    page.fill("#wan-prompt textarea", "球 fps=40")
    page.wait_for_timeout(300)
    page.on("request", lambda request: asked.append((request.method, request.url)))
    page.click("#wan-generate")
    page.wait_for_function("wan.job.session && wan.job.session.marks.painted")
    assert [address for method, address in asked if method == "POST"] == [f"{url}gradio_api/wan/jobs"]
    assert not [address for _, address in asked if "queue" in address]


def test_cancel_keeps_what_was_made(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=12", seconds=4)
    wait_for_frames(page, 13)
    page.click("#wan-cancel")
    page.wait_for_function("wan.job.state.state === 'cancelled'")
    page.wait_for_function("wan.job.session.complete")
    page.wait_for_function("wan.job.session.video.ended")
    read = page.evaluate(READ)
    assert 13 <= read["state"]["frames"] < 96
    assert_whole(read)
    assert read["buffered"][0][1] == pytest.approx(read["state"]["frames"] / 24, abs=0.01)
    assert "已取消" in page.inner_text(".wan-state")
    assert page.is_disabled("#wan-cancel")
    assert decoded_frames(page) == read["state"]["frames"]


def test_a_job_cancelled_in_the_queue_says_so(url: str, open_page: Callable[..., Page]) -> None:
    first, second = open_page(url), open_page(url)
    generate(first, "球 fps=12", seconds=4)
    generate(second)
    second.click("#wan-cancel")
    second.wait_for_function("wan.job.state.state === 'cancelled'")
    second.wait_for_function("document.querySelector('.wan-state').innerText === '已取消'")
    assert second.get_attribute("#wan-download", "aria-disabled") == "true"
    first.click("#wan-cancel")


def test_partial_download_in_the_middle_is_a_valid_mp4(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=12", seconds=4)
    wait_for_frames(page, 13)
    assert 13 <= decoded_frames(page) < 96
    page.click("#wan-cancel")


def decoded_frames(page: Page) -> int:
    """Click the download, and count what decodes."""
    with page.expect_download() as download:
        page.click("#wan-download")
    with av.open(io.BytesIO(download.value.path().read_bytes())) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_dropped_connection_is_resumed_where_it_broke(proxy: CuttableProxy, open_page: Callable[..., Page]) -> None:
    page = open_page(f"http://127.0.0.1:{proxy.port}/")
    generate(page, "球 fps=16")
    for frames in (5, 25):
        wait_for_frames(page, frames)
        proxy.cut()
        page.wait_for_timeout(700)
        assert "连接中断" in page.inner_text(".wan-state")
        proxy.mend()
        page.wait_for_function("wan.job.notice === '' && wan.job.session.fragments > " + str(frames))
    read = wait_until_played(page)
    assert read["reconnects"] >= 2
    assert_whole(read)
    assert_in_order(read["shown"])


def test_a_reload_goes_on_where_it_was(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=14")
    page.wait_for_function("wan.job.session.video.currentTime > 0.6")
    before = page.evaluate(READ)
    page.reload()
    page.wait_for_selector("#wan-generate")
    page.wait_for_function("wan.job.session && wan.job.session.marks.painted")
    read = wait_until_played(page)
    assert read["id"] == before["id"]
    assert read["state"]["state"] == "done"
    assert_whole(read)
    first = numbers(read["shown"])[0]
    assert first >= round(before["time"] * 24) - 1, "the beginning was shown twice"
    assert_in_order(read["shown"], first)
    assert page.input_value("#wan-prompt textarea") == "球 fps=14"


def test_a_second_viewer_sees_the_same_job(url: str, open_page: Callable[..., Page]) -> None:
    first = open_page(url)
    generate(first, "球 fps=14")
    wait_for_frames(first, 5)
    second = open_page(first.url)
    for page in (first, second):
        read = wait_until_played(page)
        assert_whole(read)
        assert_in_order(read["shown"])
    assert first.evaluate("wan.job.id") == second.evaluate("wan.job.id")


def test_a_link_to_a_finished_job_opens_the_file(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page)
    wait_until_played(page)
    other = open_page(page.url)
    other.wait_for_function("wan.job.session && wan.job.session.video.src.endsWith('video.mp4')")
    other.wait_for_function("wan.job.session.video.ended")


def test_without_streaming_the_file_comes_at_the_end(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    page.uncheck("#wan-streaming input")
    generate(page)
    page.wait_for_function("wan.job.state.frames > 10")
    assert page.evaluate("wan.job.session.fragments") == 0
    page.wait_for_function("wan.job.state.state === 'done' && wan.job.session.video.ended")
    assert page.evaluate("wan.job.session.video.src").endswith("video.mp4")


def test_a_failed_job_keeps_its_frames_and_the_next_one_runs(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=40 fail=20")
    page.wait_for_selector(".wan-error:not([hidden])")
    assert "drawn to fail" in page.inner_text(".wan-error")
    page.wait_for_function("wan.job.session.complete && wan.job.session.video.ended")
    read = page.evaluate(READ)
    assert read["state"]["state"] == "failed"
    assert read["fragments"] == read["state"]["frames"] > 0
    assert page.input_value("#wan-prompt textarea") == "球 fps=40 fail=20"
    generate(page)
    assert page.is_hidden(".wan-error")
    assert wait_until_played(page)["state"]["state"] == "done"


BREAK = """async () => {
  const { session } = wan.job;
  while (!session.buffer || session.buffer.updating) await wan.sleep(1);
  session.buffer.appendBuffer(new Uint8Array(64).fill(255)); // no box
}"""


def test_a_picture_that_breaks_once_all_is_made_goes_on_as_the_file(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page, "球 fps=60", seconds=4)
    page.wait_for_function("wan.job.state.state === 'done' && wan.job.session.complete")
    at = page.evaluate("wan.job.session.video.currentTime")
    page.evaluate(BREAK)
    read = wait_until_played(page)
    assert page.evaluate("wan.job.session.reopened") == 1
    assert read["time"] >= at
    page.wait_for_function("wan.job.session.video.ended")
    assert page.is_hidden(".wan-error")


def test_a_stream_that_always_breaks_is_given_up_until_there_is_the_file(
    url: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(url)
    generate(page, "球 fps=24", seconds=4)
    for reopened in (1, 2):
        page.evaluate(BREAK)
        page.wait_for_function("reopened => wan.job.session.reopened === reopened", arg=reopened)
    page.evaluate(BREAK)
    page.wait_for_selector(".wan-error:not([hidden])")
    assert page.evaluate("wan.job.state.state") != "done"
    assert page.evaluate("wan.job.session.reopened") == 2
    page.wait_for_function("wan.job.session.video.src.endsWith('video.mp4') && wan.job.session.video.ended")
    assert page.is_hidden(".wan-error")


def test_every_prefix_of_the_log_plays(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page)
    wait_until_played(page)
    ends = page.evaluate(
        """async () => {
          const log = new Uint8Array(await (await fetch(wan.url(`jobs/${wan.job.id}/stream`))).arrayBuffer());
          const units = new wan.Units().push(log);
          const results = [];
          for (let frames = 1; frames <= 48; frames += 2) {
            const video = document.createElement("video");
            video.muted = true;
            video.src = URL.createObjectURL(new Blob(units.slice(0, 1 + frames).map((unit) => unit.bytes)));
            const ended = await new Promise((resolve) => {
              video.onended = () => resolve(video.currentTime);
              video.onerror = () => resolve(video.error.message);
              video.playbackRate = 8;
              video.play();
            });
            results.push([frames, ended]);
          }
          return results;
        }"""
    )
    assert len(ends) >= 20
    for frames, end in ends:
        assert end == pytest.approx(frames / 24, abs=0.05)


def test_units_are_found_however_the_network_cuts_the_bytes(url: str, open_page: Callable[..., Page]) -> None:
    page = open_page(url)
    generate(page)
    wait_until_played(page)
    sizes = page.evaluate(
        """async () => {
          const log = new Uint8Array(await (await fetch(wan.url(`jobs/${wan.job.id}/stream`))).arrayBuffer());
          return [1, 7, 500, 4096, log.length].map((step) => {
            const units = new wan.Units();
            const found = [];
            for (let at = 0; at < log.length; at += step) found.push(...units.push(log.subarray(at, at + step)));
            const lengths = found.map((unit) => unit.bytes.length);
            return [lengths, found.filter((unit) => unit.init).length, units.held.length];
          });
        }"""
    )
    lengths, _, _ = sizes[0]
    assert len(lengths) == FRAMES + 1
    assert all(found == [lengths, 1, 0] for found in sizes)


PACES: list[tuple[dict[str, Any], float]] = [
    # Nothing is known of the speed yet: wait.
    ({"lead": 0.04, "toPlay": 4, "toMake": 3.9, "speed": 0, "nextIn": 1, "moving": False}, 0),
    # Faster than real time.
    ({"lead": 1, "toPlay": 3, "toMake": 2, "speed": 1.5, "nextIn": 0.2, "moving": True}, 1),
    # Half real time with enough ahead: as fast as lets playback end with generation.
    ({"lead": 2, "toPlay": 3, "toMake": 1.5, "speed": 0.4, "nextIn": 1, "moving": True}, 0.8),
    # The next fragments are far away: no faster than what is ahead lasts.
    ({"lead": 0.54, "toPlay": 4, "toMake": 3.5, "speed": 0.9, "nextIn": 1, "moving": True}, 0.5),
    # Too slow for any pace: creep while there is something ahead, then wait.
    ({"lead": 0.2, "toPlay": 4, "toMake": 3.5, "speed": 0.1, "nextIn": 5, "moving": True}, 0.25),
    ({"lead": 0.05, "toPlay": 4, "toMake": 3.5, "speed": 0.1, "nextIn": 5, "moving": True}, 0),
    ({"lead": 0.2, "toPlay": 4, "toMake": 3.5, "speed": 0.1, "nextIn": 5, "moving": False}, 0),
    # All is made.
    ({"lead": 1, "toPlay": 1, "toMake": 0, "speed": 0.2, "nextIn": 9, "moving": True}, 1),
]


def test_pace(url: str, open_page: Callable[..., Page]) -> None:
    given = [{**conditions, "frame": 0.04} for conditions, _ in PACES]
    rates = open_page(url).evaluate("given => given.map(wan.pace)", given)
    assert rates == pytest.approx([rate for _, rate in PACES])
