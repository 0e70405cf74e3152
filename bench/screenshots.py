"""`python -m bench.screenshots`: every state of the page, in both languages, light and dark, wide and on a phone.

Owns which states are taken and how each is brought about. The page is the shipped `app.py`, started here, or one that
runs already (`--url`); the clips are real. Two states are not the machine's own: memory that runs short is told by a
changed answer of /status, and a failure by a changed state of the job. A script error on the page ends the run, so that
a broken page is not photographed in silence.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from bench.first_frame import FLAGS, find_browser, serve

OUT = Path(__file__).resolve().parents[1] / "docs" / "screens"
WIDTHS = {"wide": (1440, 900), "phone": (375, 812)}
PROMPTS = {
    "zh": ("一只橙色的猫在草地上向右走", "一艘白色帆船在海上，日落"),
    "en": ("an orange cat walking right on a meadow", "a white sailing boat on the sea, sunset"),
}
PILED = {
    "zh": "一座雪山，几棵树，震撼，绝美，白天，(夜晚:1.3)，水墨风",
    "en": "a snowy mountain, several trees, stunning, beautiful, noon, (midnight:1.3), anime style",
}
LONG = {"zh": "一只橙色的猫坐在草地上，" * 14, "en": "an orange cat sitting on a meadow, " * 18}
MALFORMED = {"zh": "(红色:1.3的球，草地上", "en": "a (red:1.3 ball on a meadow"}

Language = Literal["zh", "en"]
_LOCALES: Mapping[Language, str] = {"zh": "zh-CN", "en": "en-US"}
_LOG = logging.getLogger(__name__)
_ENDED = "() => wan.job.state && wan.hasEnded(wan.job.state)"


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is looked at."""

    language: Language
    scheme: Literal["light", "dark"]
    width: str


# Between them every language, scheme and width, and each pair of language and scheme at one width.
LOOKS = (
    Look("zh", "light", "wide"),
    Look("en", "dark", "wide"),
    Look("zh", "dark", "phone"),
    Look("en", "light", "phone"),
)


def type_prompt(page: Page, prompt: str) -> None:
    """Type a prompt and wait until the advice on it is drawn."""
    page.fill("#wan-prompt textarea", prompt)
    page.wait_for_function("text => wan.advised() === text", arg=prompt)


def generate(page: Page, prompt: str, seconds: int = 2) -> None:
    """Ask for a clip as a person does, and wait until the job is the page's."""
    before = page.evaluate("wan.job.id")
    type_prompt(page, prompt)
    page.check(f"#wan-seconds input[value='{seconds}']", force=True)
    page.click("#wan-generate")
    page.wait_for_function("before => wan.job.id && wan.job.id !== before", arg=before)


def until_frames(page: Page, count: int) -> None:
    page.wait_for_function(
        "count => wan.job.session.fragments >= count && wan.job.session.moved", arg=count, timeout=120_000
    )


def until_played(page: Page) -> None:
    page.wait_for_function(_ENDED, timeout=240_000)
    page.wait_for_function("wan.job.session.complete && wan.job.session.swapped", timeout=240_000)


def _idle(page: Page, _: Language) -> None:
    page.wait_for_selector(".wan-part")


def _checklist(page: Page, _: Language) -> None:
    page.click(".wan-machine")
    page.wait_for_selector(".wan-check")


def _queued(page: Page, language: Language) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(".wan-ready[data-stage=ready]")
    generate(other, PROMPTS[language][1], seconds=4)
    generate(page, PROMPTS[language][0])
    page.wait_for_function(
        "document.querySelector('.wan-player').dataset.state === 'queued' && wan.status.queue_length"
    )


def _running(page: Page, language: Language) -> None:
    generate(page, PROMPTS[language][0], seconds=4)
    until_frames(page, 20)


def _change(page: Page, language: Language) -> None:
    generate(page, PROMPTS[language][0], seconds=4)
    until_frames(page, 6)
    type_prompt(page, PROMPTS[language][1])
    page.wait_for_selector(".wan-change-go")


def _short(route: Route) -> None:
    told = route.fetch().json()
    told["memory"]["free_bytes"] = told["memory"]["total_bytes"] // 25
    route.fulfill(json=told)


def _alarm(page: Page, language: Language) -> None:
    generate(page, PROMPTS[language][0], seconds=4)
    until_frames(page, 14)
    page.route("**/wan/status", _short)
    page.wait_for_selector(".wan-alarm:not([hidden])")


def _cancelled(page: Page, language: Language) -> None:
    generate(page, PROMPTS[language][0], seconds=4)
    until_frames(page, 26)
    page.click("#wan-cancel")
    page.wait_for_function("wan.job.state.state === 'cancelled' && wan.job.session.video.ended", timeout=60_000)


def _error(page: Page, language: Language) -> None:
    generate(page, PROMPTS[language][0])
    page.evaluate("Object.defineProperty(wan.job.session, 'swapped', { value: true })")  # keep the last frame
    page.wait_for_function(_ENDED, timeout=120_000)
    page.wait_for_timeout(2500)
    page.evaluate("""() => {
        const error = { message_en: "Out of memory: this clip did not fit. Choose a smaller size or a shorter "
          + "duration, or close other programs, and try again.",
          message_zh: "内存不足：这段视频放不下。请选择更小的分辨率或更短的时长，或关闭其他程序后重试。" };
        wan.seen(wan.job.id, { ...wan.job.state, state: "failed", frames: 25, error });
    }""")
    page.wait_for_selector(".wan-error:not([hidden])")


def _refused(page: Page, language: Language) -> None:
    type_prompt(page, MALFORMED[language])
    page.click("#wan-generate")
    page.wait_for_selector("#wan-prompt.wan-field-error")


def _confirm(page: Page, _: Language) -> None:
    def red(route: Route) -> None:
        told = route.fetch().json()
        told.update(level="red", reason="memory", memory_bytes=told["available_bytes"] + 2_400_000_000)
        route.fulfill(json=told)

    page.route("**/wan/predict", red)
    page.check("#wan-size input[value='1280×720']", force=True)
    page.check("#wan-seconds input[value='8']", force=True)
    page.wait_for_selector(".wan-forecast[data-level=red]")
    page.click("#wan-generate")
    page.wait_for_selector(".wan-go")


def _done(page: Page, language: Language) -> None:
    for prompt in PROMPTS[language]:
        generate(page, prompt)
        until_played(page)
    page.wait_for_selector(".wan-continue")
    page.evaluate("wan.job.session.video.currentTime = 1.2")


def _compare(page: Page, language: Language) -> None:
    _done(page, language)
    for i in (1, 2):
        page.check(f".wan-tile:nth-child({i}) input")
    page.click(".wan-history-compare")
    page.wait_for_function("[...document.querySelectorAll('.wan-pair video')].every((video) => video.readyState >= 3)")
    page.evaluate("""() => {
        const scrubber = document.querySelector(".wan-compare-bar input");
        scrubber.value = 1.5;
        scrubber.dispatchEvent(new Event("input"));
    }""")


def _debug(page: Page, language: Language) -> None:
    page.goto(page.url.split("#")[0] + "?debug=1")
    page.wait_for_selector(".wan-ready[data-stage=ready]")
    generate(page, PROMPTS[language][0])
    until_played(page)
    page.locator(".wan-debug").scroll_into_view_if_needed()


def _advice(page: Page, language: Language) -> None:
    type_prompt(page, PILED[language])


def _final(page: Page, language: Language) -> None:
    type_prompt(page, LONG[language])
    page.click("#wan-reveal")
    page.wait_for_selector(".wan-mono del")


def _weights(page: Page, language: Language) -> None:
    type_prompt(page, MALFORMED[language])
    page.wait_for_selector(".wan-syntax mark")


def _gallery(page: Page, _: Language) -> None:
    page.click(".wan-all")
    page.locator(".wan-gallery").scroll_into_view_if_needed()


def _advanced(page: Page, _: Language) -> None:
    page.click("#wan-advanced > button")
    page.wait_for_selector("#wan-seed")
    page.locator("#wan-alarm-percent").scroll_into_view_if_needed()


STATES: Mapping[str, Callable[[Page, Language], None]] = {
    "idle": _idle,
    "checklist": _checklist,
    "queued": _queued,
    "running": _running,
    "change": _change,
    "alarm": _alarm,
    "cancelled": _cancelled,
    "error": _error,
    "refused": _refused,
    "confirm": _confirm,
    "done": _done,
    "compare": _compare,
    "debug": _debug,
    "advice": _advice,
    "final": _final,
    "weights": _weights,
    "gallery": _gallery,
    "advanced": _advanced,
}


# What is meant lies further down; on a phone it nearly always does.
SCROLLED = {"debug", "gallery", "advanced"}


def take(browser: Browser, url: str, state: str, look: Look) -> Image.Image:
    """One picture.

    Raises:
        RuntimeError: a script of the page failed.
    """
    width, height = WIDTHS[look.width]
    context = browser.new_context(
        locale=_LOCALES[look.language], color_scheme=look.scheme, viewport={"width": width, "height": height}
    )
    try:
        context.add_init_script("localStorage.setItem('wan-checked', 'true')")
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector(".wan-ready[data-stage=ready]")
        page.wait_for_function("wan.parts.values && !document.querySelector('.wan-forecast').hidden")
        STATES[state](page, look.language)
        if look.width == "wide" and state not in SCROLLED:
            page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(600)  # pictures and transitions
        if errors:
            raise RuntimeError(f"{state}, {look}: {errors}")
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        page.unroute_all(behavior="ignoreErrors")
        _stop_all(context)
        return picture
    finally:
        context.close()


def _stop_all(context: Any) -> None:
    """Let no clip of this picture run under the next one's."""
    for page in context.pages:
        page.evaluate("wan.cancel()")
        page.wait_for_function("Object.values(wan.job.states).every(wan.hasEnded)", timeout=60_000)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a page that runs already (default: start the shipped app)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: docs/screens)")
    parser.add_argument("--states", nargs="+", choices=STATES, default=list(STATES))
    names = [f"{look.language}_{look.scheme}_{look.width}" for look in LOOKS]
    parser.add_argument("--looks", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(serve("auto", None))
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=find_browser(), args=list(FLAGS)
        )
        for state in options.states:
            for name, look in zip(names, LOOKS, strict=True):
                if name not in options.looks:
                    continue
                path = options.out / f"{state}_{name}.webp"
                take(browser, url, state, look).save(path, "WEBP", quality=72, method=6)
                _LOG.info("%s", path.name)


if __name__ == "__main__":
    main()
