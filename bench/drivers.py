"""Three browser engines behind one small face: Chromium, Firefox and WebKitGTK (Safari's engine), each the real thing.

Owns how each is found, started and told what to do. Chromium is driven by Playwright, Firefox by Marionette, its own
protocol (`geckodriver` is on no package index), WebKitGTK by WebDriver under a virtual display. Knows no page of ours.
"""

from __future__ import annotations

import contextlib
import gc
import glob
import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.first_frame import FLAGS, find_browser, free_port

WIDTH, HEIGHT = 1280, 900
START_LIMIT_S = 60.0
_MINI_BROWSERS = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"
_DISPLAYS = range(90, 120)
_PRESSES, _PRESS_LIMIT_S = 3, 2.0
_WATCH = """const element = document.querySelector(arguments[0]);
element.scrollIntoView({ block: "center" });
window.pressMissed = true;
element.addEventListener("click", () => (window.pressMissed = false), { capture: true, once: true });"""
_CONTROL, _ENTER = "\ue009", "\ue007"  # WebDriver's keys (W3C, table "Keyboard Actions"), Marionette's too


class Driver(ABC):
    """One open window. Selectors are CSS; scripts are function bodies with `arguments`."""

    name: str

    @property
    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def open(self, url: str) -> None:
        """Load the address, anew even where only its fragment differs."""

    @abstractmethod
    def reload(self) -> None: ...

    @abstractmethod
    def run(self, body: str, *args: Any) -> Any:
        """Run a script in the page and give what it returns; a promise is waited for."""

    @abstractmethod
    def click(self, selector: str) -> None:
        """Press the element with the pointer, once it is there."""

    @abstractmethod
    def control_enter(self, selector: str) -> None:
        """Press Ctrl+Enter inside the element."""

    @abstractmethod
    def upload(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""

    def fill(self, selector: str, text: str) -> None:
        """Have a text in a text area, as typing does."""
        self.run(
            """const [selector, text] = arguments;
            const area = document.querySelector(selector);
            area.focus();
            Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(area, text);
            area.dispatchEvent(new Event("input", { bubbles: true }));""",
            selector,
            text,
        )

    def wait(self, expression: str, *args: Any, limit_s: float = 30.0) -> Any:
        """Wait until an expression is true in the page; gives its value.

        Raises:
            TimeoutError: it never was.
        """
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            value = self.run(f"return {expression};", *args)
            if value:
                return value
            time.sleep(0.05)
        raise TimeoutError(f"{self.name}: {expression}")


class Chromium(Driver):
    """The system's Chromium or Chrome, by Playwright."""

    name = "chromium"

    def __init__(self, page: Any, version: str) -> None:
        self._page, self._version = page, version

    @property
    def version(self) -> str:
        return self._version

    def open(self, url: str) -> None:
        self._page.goto("about:blank")
        self._page.goto(url)

    def reload(self) -> None:
        self._page.reload()

    def run(self, body: str, *args: Any) -> Any:
        return self._page.evaluate(f"args => (async function () {{ {body} }})(...args)", list(args))

    def click(self, selector: str) -> None:
        self._page.click(selector)

    def control_enter(self, selector: str) -> None:
        self._page.press(selector, "Control+Enter")

    def upload(self, selector: str, path: Path) -> None:
        self._page.set_input_files(selector, path)


class _ByElement(Driver):
    """What Marionette and WebDriver do alike: find an element, then press it or type into it."""

    def __init__(self, window: Any) -> None:
        self._window = window

    def click(self, selector: str) -> None:
        """Press it, again where the press went beside it.

        An answer that is drawn over the element between the look for it and the press pushes it away (the prompt's
        advice does so to Generate). Playwright watches for the same by itself.

        Raises:
            TimeoutError: no press reached it.
        """
        for _ in range(_PRESSES):
            element = self._find(selector)
            self.run(_WATCH, selector)
            element.click()
            with contextlib.suppress(TimeoutError):
                # Nothing is watched any more where the press has opened another page.
                self.wait("window.pressMissed !== true", limit_s=_PRESS_LIMIT_S)
                return
        raise TimeoutError(f"{self.name}: no press reached {selector}")

    def control_enter(self, selector: str) -> None:
        self._find(selector).send_keys(_CONTROL, _ENTER)

    def upload(self, selector: str, path: Path) -> None:
        self._find(selector).send_keys(str(path))

    def _find(self, selector: str) -> Any:
        self.wait("document.querySelector(arguments[0]) !== null", selector)
        return self._window.find_element("css selector", selector)


class Firefox(_ByElement):
    """The system's Firefox, by Marionette."""

    name = "firefox"

    @property
    def version(self) -> str:
        return str(self._window.session_capabilities["browserVersion"])

    def open(self, url: str) -> None:
        self._window.navigate("about:blank")
        self._window.navigate(url)

    def reload(self) -> None:
        self._window.refresh()

    def run(self, body: str, *args: Any) -> Any:
        return self._window.execute_async_script(_async(body), script_args=args, sandbox=None)

    def upload(self, selector: str, path: Path) -> None:
        # Marionette types into what can be seen only.
        self.run("document.querySelector(arguments[0]).style.setProperty('display', 'block', 'important')", selector)
        super().upload(selector, path)


class WebKitGtk(_ByElement):
    """WebKitGTK's own small browser, by WebDriver."""

    name = "webkitgtk"

    @property
    def version(self) -> str:
        return str(self._window.capabilities["browserVersion"])

    def open(self, url: str) -> None:
        self._window.get("about:blank")
        self._window.get(url)

    def reload(self) -> None:
        self._window.refresh()

    def run(self, body: str, *args: Any) -> Any:
        return self._window.execute_async_script(_async(body), *args)


def _async(body: str) -> str:
    """A function body as a WebDriver script that answers through its last argument."""
    return (
        f"const given = [...arguments]; const answer = given.pop(); "
        f"(async function () {{ {body} }})(...given).then(answer, (error) => answer(String(error)));"
    )


@contextlib.contextmanager
def chromium() -> Generator[Driver]:
    """Start it; gives its window.

    Raises:
        FileNotFoundError: it is not installed. The same holds for the two below.
    """
    from playwright.sync_api import sync_playwright

    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            page = browser.new_page(locale="zh-CN", viewport={"width": WIDTH, "height": HEIGHT})
            page.set_default_timeout(30_000)
            yield Chromium(page, browser.version)
        finally:
            browser.close()


@contextlib.contextmanager
def firefox() -> Generator[Driver]:
    """See `chromium`."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        raise FileNotFoundError("neither firefox-esr nor firefox is installed")
    with _old_ways():
        from marionette_driver.marionette import Marionette

    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        preferences = {
            "marionette.port": port,
            "intl.accept_languages": "zh-CN",
            "datareporting.policy.dataSubmissionEnabled": False,
        }
        lines = [f'user_pref("{name}", {_literal(value)});' for name, value in preferences.items()]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        command = [path, "--headless", "--marionette", "--no-remote", "--profile", profile]
        command += ["--width", str(WIDTH), "--height", str(HEIGHT)]
        with _process(command):
            marionette: Any = Marionette(host="127.0.0.1", port=port)
            _until(lambda: _listens(port), "Firefox did not answer")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # it leaves its first sockets open
                marionette.start_session()
                gc.collect()
            marionette.timeout.script = 60
            try:
                yield Firefox(marionette)
            finally:
                with contextlib.suppress(Exception):
                    marionette.delete_session()


@contextlib.contextmanager
def webkitgtk() -> Generator[Driver]:
    """See `chromium`."""
    driver, shell, display = shutil.which("WebKitWebDriver"), glob.glob(_MINI_BROWSERS), shutil.which("Xvfb")
    if driver is None or not shell or display is None:
        raise FileNotFoundError("webkit2gtk-driver (WebKitWebDriver, MiniBrowser) or xvfb is not installed")
    from selenium.webdriver import WebKitGTK
    from selenium.webdriver.webkitgtk.options import Options
    from selenium.webdriver.webkitgtk.service import Service

    number = next(n for n in _DISPLAYS if not Path(f"/tmp/.X{n}-lock").exists())
    with _process([display, f":{number}", "-screen", "0", f"{WIDTH}x{HEIGHT}x24"]):
        _until(lambda: Path(f"/tmp/.X11-unix/X{number}").exists(), "Xvfb did not come up")
        options = Options()
        options.binary_location = shell[-1]
        options.add_argument("--automation")
        # Its sandbox wants user namespaces, which a container has not.
        environment = {**os.environ, "DISPLAY": f":{number}", "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}
        with _old_ways():
            window = WebKitGTK(options=options, service=Service(driver, env=environment))
        try:
            window.set_script_timeout(60)
            window.set_window_size(WIDTH, HEIGHT)
            yield WebKitGtk(window)
        finally:
            window.quit()


DRIVERS: Mapping[str, Callable[[], contextlib.AbstractContextManager[Driver]]] = MappingProxyType(
    {"chromium": chromium, "firefox": firefox, "webkitgtk": webkitgtk}
)


@contextlib.contextmanager
def _old_ways() -> Generator[None]:
    """Both libraries use, inside themselves, what they or Python call deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool | int) else f'"{value}"'


@contextlib.contextmanager
def _process(command: list[str]) -> Generator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(ready: Callable[[], bool], failure: str) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(0.2)
    raise TimeoutError(failure)
