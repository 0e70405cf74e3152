"""Every state that is photographed can be reached, so that `bench.screenshots` runs whenever the page changes."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Browser

from bench.screenshots import LOOKS, STATES, WIDTHS, Look, take

pytestmark = pytest.mark.browser

# Each state in one look, the looks in turn: all of them together take a quarter of an hour.
CASES = list(zip(STATES, itertools.cycle(LOOKS), strict=False))


@pytest.mark.parametrize(("state", "look"), CASES, ids=[state for state, _ in CASES])
def test_a_state_is_photographed(url: str, browser: Browser, state: str, look: Look) -> None:
    picture = take(browser, url, state, look)
    assert picture.size in WIDTHS.values()
    assert len(picture.getcolors(maxcolors=1 << 20) or []) > 100
