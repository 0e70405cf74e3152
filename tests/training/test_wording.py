"""Wordings beyond the grammar say the same as the grammar does, elsewhere in the sentence."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

from styles import WeightedText
from training import phrases_en, phrases_zh, synonyms
from training.scene import Scene, sample_scene
from training.wording import LOUDNESS, pair, reworded, say, stressed, styled, timed, weather_spans

_WORDS = {"rain": ("雨", "rain"), "snow": ("雪", "snow"), "fog": ("雾", "fog", "mist", "haz")}
_Said = TypeVar("_Said")


def _told(count: int, seed: int, tell: Callable[[Scene, random.Random], _Said | None]) -> Iterator[tuple[Scene, _Said]]:
    """So many scenes of which there is something to say, and what."""
    rng = random.Random(seed)
    while count:
        scene = sample_scene(rng, held_out=False, hard=True)
        if (text := tell(scene, rng)) is not None:
            count -= 1
            yield scene, text


def test_weather_is_said_at_the_place() -> None:
    for scene, text in _told(300, 3, reworded):
        assert any(word in text.lower() for word in _WORDS[scene.weather])
        fine = (*phrases_zh.WEATHERS["clear"], *phrases_en.WEATHERS["clear"])
        assert not any(word in text for word in fine)


def test_time_of_day_is_not_lost() -> None:
    rng = random.Random(4)
    night = {word.rstrip("的") for word in (*phrases_zh.TIMES["night"], *phrases_zh.TIMES_OF["night"], "night")}
    texts: list[str] = []
    while len(texts) < 100:
        scene = sample_scene(rng, held_out=False, hard=True)
        if (scene.weather, scene.time_of_day) == ("fog", "night") and (text := reworded(scene, rng)) is not None:
            texts.append(text.lower())
    assert sum(any(word in text for word in night) for text in texts) > 80  # the grammar leaves it out now and then


def test_a_pair_differs_in_where_the_weather_is_said() -> None:
    rng = random.Random(6)
    pairs = [pair(sample_scene(rng, held_out=False, hard=True), rng) for _ in range(400)]
    told = [both for both in pairs if both is not None]
    assert len(told) > 40
    weathers, times = (
        sorted((word for table in tables for words in table.values() for word in words), key=len, reverse=True)
        for tables in ((phrases_zh.WEATHERS, phrases_en.WEATHERS), (phrases_zh.TIMES, phrases_en.TIMES))
    )
    for placed, apart in told:
        assert apart.endswith(tuple(weathers))
        assert placed != apart
        rest, letters = _without_clause(_without_clause(apart, weathers), times), iter(placed)
        assert all(letter in letters for letter in rest.replace(" an ", " a "))  # all else stays, in its order


def _without_clause(text: str, words: list[str]) -> str:
    ends = [comma + word for word in words for comma in ("，", ", ") if text.endswith(comma + word)]
    return text.removesuffix(ends[0]) if ends else text


def test_most_sentences_are_the_grammars() -> None:
    rng = random.Random(5)
    scenes = [sample_scene(rng, held_out=False, hard=True) for _ in range(300)]
    wet = [scene for scene in scenes if scene.weather != "clear"]
    placed = sum(
        "weather" in say(scene, rng) or any(w in say(scene, rng) for w in ("雨夜", "雾中的", "雪中的")) for scene in wet
    )
    assert 0 < placed < len(wet) / 2
    assert all(say(scene, random.Random(1)) for scene in scenes)


def test_where_the_grammar_says_its_weather() -> None:
    """Every clause of a pair's plain half is found, and no snow mountain, no sentence of fine weather is."""
    for scene, (_, apart) in _told(200, 8, pair):
        spans = weather_spans(apart)
        assert spans, apart
        start, end, name = spans[-1]
        assert name == scene.weather
        assert end == len(apart)
        words = (*phrases_zh.WEATHERS[scene.weather], *phrases_en.WEATHERS[scene.weather])
        assert apart[start:end] in words
    for text in (
        "雪山前，一只猫",
        "a cat, snowy mountain",
        "一只猫在雨伞旁",
        "terrain, a red box in the snowfields",
        "",
    ):
        assert weather_spans(text) == [], text
    assert weather_spans("雨夜的东京街头，雪，foggy") == [(0, 2, "rain"), (8, 9, "snow")]


def test_a_style_in_other_company() -> None:
    for scene, (asked, meant) in _told(60, 9, styled):
        assert asked != meant
        words = (*phrases_zh.STYLES[scene.style], *phrases_en.STYLES[scene.style])
        said = [word for word in words if meant.endswith(word)]
        assert said
        others = (*synonyms.STYLES_ZH[scene.style], *synonyms.STYLES_EN[scene.style])
        assert any(word in asked for word in (*said, *others))
    assert styled(Scene(), random.Random(0)) is None


def test_a_time_of_day_in_other_words() -> None:
    for scene, (asked, meant) in _told(120, 10, timed):
        time = scene.time_of_day
        assert any(word in asked for word in (*synonyms.TIMES_ZH[time], *synonyms.TIMES_EN[time]))
        said = [word for word in (*phrases_zh.TIMES[time], *phrases_en.TIMES[time]) if meant.endswith(word)]
        assert said
        rest = meant.removesuffix(max(said, key=len)).rstrip("，, ")
        assert rest in asked  # all else stays


def test_stress_multiplies_what_is_said_of_the_weather() -> None:
    runs = (WeightedText("雪，雪山前一只猫，下着", 1.0), WeightedText("雨", 1.2), WeightedText("，雾", 1.0))
    assert stressed(runs, 2.0) == (
        WeightedText("雪，雪山前一只猫，", 1.0),
        WeightedText("下着", 2.0),
        WeightedText("雨", 2.4),
        WeightedText("，", 1.0),
        WeightedText("雾", 2.0 ** LOUDNESS["fog"]),
    )
    assert stressed((WeightedText("一只猫", 1.0),), 2.0) == (WeightedText("一只猫", 1.0),)
