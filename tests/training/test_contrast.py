"""Sentences of two things of one kind: what stays when either is left out, and what a weight then has to mean."""

from __future__ import annotations

import random

from training import phrases_en, phrases_zh
from training.contrast import Contrast, contrast
from training.paraphrase import ABOVE, BELOW, _sentences
from training.scene import sample_scene


def _some(number: int) -> list[Contrast]:
    rng, found = random.Random(1), list[Contrast]()
    while len(found) < number:
        if (one := contrast(sample_scene(rng, held_out=False, hard=True), rng)) is not None:
            found.append(one)
    return found


def test_each_half_says_one_of_the_two() -> None:
    for one in _some(300):
        phrase = one.text[one.start : one.end]
        assert phrase
        assert phrase in one.chosen
        assert len(one.text) > max(len(one.chosen), len(one.other))
        assert one.chosen != one.other


def test_every_kind_is_said() -> None:
    phrases = {one.text[one.start : one.end] for one in _some(400)}
    for zh, en in (
        (phrases_zh.STYLES, phrases_en.STYLES),
        (phrases_zh.WEATHERS, phrases_en.WEATHERS),
        (phrases_zh.TIMES, phrases_en.TIMES),
        (phrases_zh.PLACES, phrases_en.PLACES),
    ):
        for table in (zh, en):
            assert phrases & {word for words in table.values() for word in words}
    assert phrases & {word for _, words in phrases_zh.COLOURS.values() for word in words}


def test_the_weight_says_which_is_meant() -> None:
    """Above 1 the weighted phrase alone, below 1 the other alone, at 1 what the sentence means already."""
    seen: set[str] = set()
    for one in _sentences(random.Random(2), 0, 200, 0):
        ((meant, weight_meant),) = ((run.text, run.weight) for run in one.meant)
        assert weight_meant == 1.0
        weights = {run.weight for run in one.asked} - {1.0}
        text = "".join(run.text for run in one.asked)
        if not weights:
            assert meant == text
            seen.add("both")
            continue
        (weight,) = weights
        (phrase,) = (run.text for run in one.asked if run.weight == weight)
        assert BELOW[0] <= weight <= BELOW[1] or ABOVE[0] <= weight <= ABOVE[1]
        assert len(meant) < len(text)
        assert weight < 1.0 or phrase in meant
        seen.add("chosen" if weight > 1.0 else "other")
    assert seen == {"both", "chosen", "other"}


def test_other_sentences_keep_their_meaning_under_any_weight() -> None:
    told = _sentences(random.Random(3), 0, 0, 100)
    assert all(one.asked == one.meant for one in told)
    weighted = [one for one in told if any(run.weight != 1.0 for run in one.asked)]
    assert 30 < len(weighted) < 70
