"""Other words for times of day and styles: new to the grammar, and none of them is what the benchmark measures."""

from __future__ import annotations

import pytest

from bench.quality.prompts import load_prompts
from training import phrases_en, phrases_zh, synonyms

TABLES = (
    (synonyms.TIMES_ZH, phrases_zh.TIMES),
    (synonyms.TIMES_EN, phrases_en.TIMES),
    (synonyms.STYLES_ZH, phrases_zh.STYLES),
    (synonyms.STYLES_EN, phrases_en.STYLES),
)


@pytest.mark.parametrize(("others", "grammar"), TABLES)
def test_each_is_new_to_the_grammar(others: dict[str, tuple[str, ...]], grammar: dict[str, tuple[str, ...]]) -> None:
    assert others.keys() == grammar.keys()
    known = {word for words in grammar.values() for word in words}
    told = [word for words in others.values() for word in words]
    assert not known & set(told)
    assert len(told) == len(set(told))


@pytest.mark.parametrize("others", [table for table, _ in TABLES])
def test_no_held_out_sentence_in_free_wording_has_one(others: dict[str, tuple[str, ...]]) -> None:
    free = [prompt.text.lower() for prompt in load_prompts(500) if prompt.free]
    assert len(free) == 250
    assert not [word for words in others.values() for word in words if any(word.lower() in text for text in free)]
