"""A real server process, a real Chromium, and a page that notes every frame that it paints."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bench.first_frame import FLAGS, find_browser
from tests.browser.proxy import CuttableProxy
from tests.serving import serving

# Media time of every frame that any video element of the page hands to the compositor, in order.
NOTE_FRAMES = """
window.shown = [];
const original = HTMLVideoElement.prototype.requestVideoFrameCallback;
HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
  return original.call(this, (now, frame) => {
    window.shown.push(frame.mediaTime);
    callback(now, frame);
  });
};
"""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    try:
        path = find_browser()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield made
        made.close()


@pytest.fixture(scope="package")
def server_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with serving(tmp_path_factory.mktemp("jobs")) as port:
        yield port


@pytest.fixture
def url(server_port: int) -> str:
    return f"http://127.0.0.1:{server_port}/"


@pytest.fixture
def proxy(server_port: int) -> Iterator[CuttableProxy]:
    made = CuttableProxy(server_port)
    yield made
    made.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    made: list[BrowserContext] = []

    def new(locale: str = "zh-CN", width: int = 1280, height: int = 800) -> BrowserContext:
        context = browser.new_context(locale=locale, viewport={"width": width, "height": height})
        context.set_default_timeout(30_000)
        context.add_init_script(NOTE_FRAMES)
        made.append(context)
        return context

    yield new
    for context in made:
        for page in context.pages:
            page.unroute_all(behavior="wait")  # a changed answer on its way would fail the next test
        context.close()


@pytest.fixture
def open_page(new_context: Callable[..., BrowserContext]) -> Iterator[Callable[..., Page]]:
    """Open an address in a context of its own; a script error, or a request to another machine, fails the test."""
    errors: list[str] = []

    def open_at(address: str, **context: object) -> Page:
        page = new_context(**context).new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if _is_elsewhere(request.url) else None)
        page.goto(address)
        page.wait_for_selector("#wan-generate")
        page.wait_for_selector(".wan-ready[data-stage=ready]")
        return page

    yield open_at
    assert not errors


def _is_elsewhere(address: str) -> bool:
    return not address.startswith(("http://127.0.0.1:", "blob:", "data:"))
