"""The held-out prompts: fixed, never trained on, true, and by hand where they say so."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from bench.judges.labels import HEADS, truth
from bench.quality.prompts import FREE, GRAMMAR, NUM_GRAMMAR, SEED, Prompt, grammar_prompts, load_prompts, said, to_json
from styles import parse_weights
from training import phrases_en, phrases_zh
from training.captions import caption
from training.scene import Scene, is_held_out

ALL = load_prompts(500)
BY_HAND = [prompt for prompt in ALL if prompt.free]
CHINESE = re.compile(r"[一-鿿]")


def test_the_set() -> None:
    assert len(ALL) == 500
    assert len({prompt.text for prompt in ALL}) == 500
    assert len(BY_HAND) == 250
    assert sum(bool(CHINESE.search(prompt.text)) for prompt in BY_HAND) >= 120
    assert any(not CHINESE.search(prompt.text) for prompt in BY_HAND)
    with pytest.raises(ValueError, match="1 to 500"):
        load_prompts(501)


def test_any_beginning_of_the_set_has_both_kinds() -> None:
    assert [prompt.free for prompt in load_prompts(6)] == [False, True] * 3


def test_no_combination_was_trained_on_and_all_that_is_said_is_true() -> None:
    for prompt in ALL:
        assert is_held_out(prompt.scene)
        assert prompt.truth.items() <= truth(prompt.scene).items()
        assert prompt.truth
        parse_weights(prompt.text)  # what stands in brackets would be a weight


def test_every_class_is_asked_for() -> None:
    """A head whose classes were not all asked for would have an easy score."""
    asked = {head: Counter(prompt.truth.get(head) for prompt in ALL) for head in HEADS}
    for head, classes in HEADS.items():
        missing = [name for name in classes if name and asked[head][name] < 5]
        assert not missing, (head, missing)


def test_the_grammars_half_is_what_the_grammar_makes_of_its_seed() -> None:
    """Fails where the world or its words have changed: then make it anew (see the module)."""
    assert to_json(grammar_prompts(12, SEED)).splitlines()[1:-2] == GRAMMAR.read_text().splitlines()[1:12]
    assert GRAMMAR.read_text().count("\n") == NUM_GRAMMAR + 2


def test_the_grammar_does_not_make_what_was_written_by_hand() -> None:
    rng = random.Random(0)
    for prompt in BY_HAND:
        assert prompt.text not in {caption(prompt.scene, rng) for _ in range(30)}
        assert len(_rest(prompt.text)) >= 2, prompt.text


def _rest(text: str) -> str:
    """What is left of a sentence without all that the grammar's word tables have."""
    for phrase in PHRASES:
        text = text.replace(phrase, " ")
    return re.sub(r"[\s，,、。.：:]|\b(a|an|the|of|in|on|at|to)\b", "", text)


def _phrases(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return [phrase for item in items for phrase in _phrases(item)]


PHRASES = sorted(
    {
        p.replace("{v}", "")
        for words in (phrases_zh, phrases_en)
        for n, v in vars(words).items()
        if n.isupper()
        for p in _phrases(v)
    }
    - {""},
    key=len,
    reverse=True,
)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_said_is_heard(seed: int) -> None:
    """The noun's and the colour's words stand in the sentence exactly when they count as said."""
    scene = Scene("balloon", "purple", scene="forest", time_of_day="night", weather="rain", motion="left")
    text, heard = caption(scene, random.Random(seed)), said(scene, seed)
    assert ("colour" in heard) == bool(re.search("紫|purple|violet", text, re.I))
    assert ("weather" in heard) == bool(re.search("雨|rain", text, re.I))
    assert ("direction" in heard) == bool(re.search("左|left", text, re.I))
    assert ("scene" in heard) == bool(re.search("林|forest|woods", text, re.I))
    assert heard["subject"] == "balloon"


def test_a_wrong_file_is_refused(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [Prompt("一只红色的球", {"colour": "blue"}, BY_HAND[0].scene, free=True)]
    path = tmp_path / "free.json"  # type: ignore[operator]
    path.write_text(to_json(wrong), encoding="utf-8")
    monkeypatch.setattr("bench.quality.prompts.FREE", path)
    with pytest.raises(ValueError, match="says colour 'blue'"):
        load_prompts(1)
    assert FREE.is_file()
