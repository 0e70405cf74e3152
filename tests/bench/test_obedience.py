"""The readings of bench.obedience are right on clips whose content is known, and shares count what they say."""

from __future__ import annotations

import pytest

from bench.obedience import truth
from training.evaluate import SimplePrompt, read, shares, simple_prompts


@pytest.mark.parametrize("wanted", [("ball", "red", "right"), ("car", "blue", "left"), ("box", "green", "left")])
def test_the_world_itself_is_read_right(wanted: tuple[str, str, str]) -> None:
    colour, direction = wanted[1:]
    prompt = next(p for p in simple_prompts() if (p.subject, p.colour, p.direction) == wanted)
    assert read(truth(prompt, 25), colour) == (colour, direction)


def test_shares_of_what_was_wanted() -> None:
    prompts = [SimplePrompt("", "ball", "red", "left"), SimplePrompt("", "ball", "blue", "right")]
    seen = [("red", "left"), ("blue", "still")]
    assert shares(seen, prompts) == {"colour": 1.0, "direction": 0.5, "both": 0.5}
