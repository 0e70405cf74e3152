"""Captions: true, short, in both languages, and mostly silent about what is plain."""

from __future__ import annotations

import random

import pytest

from styles import load_styles
from training import phrases_en, phrases_zh
from training.attributes import (
    BACKDROPS,
    CAMERAS,
    COLOURS,
    LIGHTS,
    NO_SUBJECT,
    STYLES,
    SUBJECTS,
    TIMES_OF_DAY,
    WEATHERS,
)
from training.captions import caption, corpus
from training.scene import EXAMPLES, Scene, sample_scene


def captions(scene: Scene, count: int = 200) -> list[str]:
    rng = random.Random(3)
    return [caption(scene, rng) for _ in range(count)]


def is_chinese(text: str) -> bool:
    return any("一" <= char <= "鿿" for char in text)


def test_captions_are_short_and_not_empty() -> None:
    rng = random.Random(0)
    for _ in range(1500):
        text = caption(sample_scene(rng), rng)
        assert text.strip() == text
        assert text
        assert len(text) <= 330


def test_the_same_draw_gives_the_same_caption() -> None:
    scene = Scene("cat", "blue", motion="left")
    assert captions(scene, 5) == captions(scene, 5)


def test_language_shares() -> None:
    texts = captions(Scene("cat", "blue", motion="left", size="large"), 600)
    assert 0.6 < sum(map(is_chinese, texts)) / len(texts) < 0.8


@pytest.mark.parametrize(("motion", "said", "never"), [("left", "向左", "向右"), ("right", "向右", "向左")])
def test_direction_is_true(motion: str, said: str, never: str) -> None:
    texts = captions(Scene("car", "red", motion=motion), 600)
    assert any(said in text for text in texts)
    for text in texts:
        assert never not in text
        assert f"to the {'right' if motion == 'left' else 'left'} side" not in text
        if "从左" in text or "from left" in text:
            assert motion == "right"


def test_colour_is_true() -> None:
    others = [long for name in COLOURS if name != "blue" for long in phrases_zh.COLOURS[name][1]]
    texts = captions(Scene("cat", "blue"), 400)
    assert sum("蓝" in text or "blue" in text for text in texts) > 0.8 * len(texts)
    assert not any(other in text for text in texts for other in others if "蓝" not in other)


def test_the_plain_is_mostly_left_out() -> None:
    places = phrases_zh.PLACES["studio"] + phrases_en.PLACES["studio"]
    texts = captions(Scene("ball", "green"), 400)
    assert 0.02 < sum(any(place in text for place in places) for text in texts) / len(texts) < 0.25


def test_a_style_is_named() -> None:
    for name in STYLES:
        words = phrases_zh.STYLES[name] + phrases_en.STYLES[name]
        parts = [part.strip() for part in load_styles()[name].prompt.split(",")]
        texts = captions(Scene("cat", "white", style=name), 60)
        named = [text for text in texts if any(word in text for word in (*words, *parts))]
        assert len(named) > 0.8 * len(texts)


def test_every_attribute_has_words_in_both_languages() -> None:
    for module in (phrases_zh, phrases_en):
        assert set(module.COLOURS) == set(COLOURS)
        assert set(module.PLACES) == {*BACKDROPS, "beach"}
        assert set(module.TIMES) == set(TIMES_OF_DAY)
        assert set(module.WEATHERS) == set(WEATHERS)
        assert set(module.LIGHTS) == set(LIGHTS)
        assert set(module.CAMERAS) == set(CAMERAS)
        assert set(module.STYLES) == set(STYLES)
        assert set(module.NOUNS) == set(SUBJECTS) - {NO_SUBJECT}


def test_the_styles_of_the_world_are_the_shipped_ones() -> None:
    assert set(load_styles()) == set(STYLES)


def test_the_corpus_holds_the_examples_and_the_style_words() -> None:
    texts = list(corpus(random.Random(0), 50))
    assert {text for text, _ in EXAMPLES} <= set(texts)
    assert any("masterpiece" in text for text in texts)
    assert any("宣纸纹理" in text for text in texts)


def test_examples_are_said_in_their_own_words() -> None:
    for text, scene in EXAMPLES:
        assert text in captions(scene, 60)
