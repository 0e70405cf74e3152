"""Sentences beyond the grammar: weather and time of day said where the place is, 雾中的森林, a rainy Tokyo street;
styles in the company of other words, 水墨画的样子; times of day and styles in words of `training.synonyms`.

Owns those words and how often they are taken in training, and where the grammar's sentences say their weather. The
grammar itself (`training.captions`) stays as it is, because the held-out sentences of `bench.quality` are made by it.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable

from styles import WeightedText
from styles.weights import merge_runs
from training import phrases_en as en
from training import phrases_zh as zh
from training import synonyms
from training.attributes import NO_STYLE
from training.captions import caption, place_of
from training.scene import Scene

Runs = tuple[WeightedText, ...]

LOUDNESS = {"rain": 1.0, "snow": 0.0, "fog": 0.6}
"""Powers of the stress on each: few steps draw snow as it is said, fog too faintly, rain far too faintly."""
SHARE = 0.35
"""Of the sentences about rain, snow or fog."""


def _either(words: Iterable[str]) -> str:
    """A pattern of any of them, the longest first."""
    return "|".join(sorted(words, key=len, reverse=True))


# fmt: off
_BEFORE_ZH: dict[str, tuple[str, ...]] = {
    "rain": ("雨中的", "下雨的", "下着雨的", "大雨中的", "雨里的", "雨天的", "细雨中的", "雨中"),
    "snow": ("雪中的", "下雪的", "飘雪的", "大雪中的", "雪天的", "落雪的", "风雪中的", "雪中"),
    "fog": ("雾中的", "起雾的", "大雾中的", "雾蒙蒙的", "浓雾中的", "雾里的", "有雾的", "雾中"),
}
_AFTER_ZH: dict[str, tuple[str, ...]] = {
    "rain": ("下着雨", "正下着雨", "下雨了", "下起了雨", "下着大雨"),
    "snow": ("下着雪", "正下着雪", "下雪了", "飘着雪", "落着雪", "下着大雪"),
    "fog": ("起了雾", "起雾了", "雾很大", "雾蒙蒙的", "笼罩着雾"),
}
_WITH_TIME_ZH: dict[tuple[str, str], tuple[str, ...]] = {
    ("rain", "night"): ("雨夜", "雨夜的", "夜雨中的", "夜雨里的", "雨夜里的"),
    ("snow", "night"): ("雪夜", "雪夜的", "夜雪中的", "雪夜里的"),
    ("fog", "night"): ("雾夜", "雾夜的", "夜雾中的", "夜雾里的"),
    ("rain", "dusk"): ("黄昏雨中的", "雨中黄昏的", "傍晚下雨的"),
    ("snow", "dusk"): ("黄昏雪中的", "雪中黄昏的", "傍晚下雪的"),
    ("fog", "dusk"): ("黄昏雾中的", "雾中黄昏的", "傍晚起雾的"),
}
_BEFORE_EN: dict[str, tuple[str, ...]] = {
    "rain": ("rainy", "rain-soaked"), "snow": ("snowy", "snowing"), "fog": ("foggy", "misty", "hazy"),
}
_WITH_TIME_EN: dict[tuple[str, str], tuple[str, ...]] = {
    (weather, time): tuple(f"{lead} {word} {name}" for word in words for lead in ("on a", "in the") for name in names)
    for weather, words in {"rain": ("rainy",), "snow": ("snowy",), "fog": ("foggy", "misty")}.items()
    for time, names in {"night": ("night",), "dusk": ("evening", "dusk")}.items()
}
_STYLED_ZH = (
    "{}那种", "{}那样的", "{}的感觉", "{}的味道", "{}画面", "像{}一样", "画成{}", "拍成{}", "做成{}", "仿{}",
    "要{}的效果", "{}的调子", "整个是{}", "用{}来表现", "{}似的", "仿佛{}", "看上去像{}",
    "{}的样子", "以{}呈现", "{}出来的",
)
_STYLED_EN = (
    "like {}", "looks like {}", "done as {}", "in the manner of {}", "the look of {}", "made as {}", "{} feel", "as {}",
    "all {}", "{} look", "everything in {}", "resembling {}", "{} please",
)
# fmt: on
BARE = 0.4
"""Of the sentences with another word for a style: nothing stands around it."""
_FINE = (*zh.WEATHERS["clear"], *en.WEATHERS["clear"])
_DAY = (*zh.TIMES["day"], *zh.TIMES_OF["day"], *en.TIMES["day"])
_UNSAID = (*_FINE, *_DAY)
# A clause of its own: 雪 says nothing of the weather in 雪山. At night it may stand in front of the place.
_CLAUSE = re.compile(
    "|".join(
        rf"(?P<{name}>(?<![^，,、。 ])(?:{_either(zh.WEATHERS[name])})(?![^，,、。！!. ])|{night}"
        rf"|(?:(?<=, )|^)(?:{_either(en.WEATHERS[name])})(?![^,.!]))"
        for name, night in (("rain", "雨夜"), ("snow", "雪夜"), ("fog", "雾夜"))
    ),
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(on|in|at|by|against) (a|an|the) ", re.IGNORECASE)


def say(scene: Scene, rng: random.Random) -> str:
    """A true sentence about the scene: the grammar's, or where there is weather sometimes one from here.

    Weather that does not wholly show is said to be fine.
    """
    if scene.intensity < 1.0:
        return _fine(dataclasses.replace(scene, weather="clear"), rng)
    if scene.weather != "clear" and rng.random() < SHARE:
        return reworded(scene, rng) or caption(scene, rng)
    return caption(scene, rng)


def _fine(scene: Scene, rng: random.Random) -> str:
    """A sentence of the grammar that says that the weather is fine; one in fourteen does."""
    while True:
        text = caption(scene, rng)
        if any(word in text for word in _FINE):
            return text


def reworded(scene: Scene, rng: random.Random) -> str | None:
    """The grammar's sentence, with the weather, or weather and time of day, said at its place; None: it names none."""
    both = pair(scene, rng)
    return None if both is None else both[0]


def pair(scene: Scene, rng: random.Random) -> tuple[str, str] | None:
    """What `reworded` gives, and the same sentence with clauses for the weather as the grammar has them."""
    if scene.weather == "clear":
        return None
    with_time = (scene.weather, scene.time_of_day) in _WITH_TIME_ZH and rng.random() < 0.5
    silent = dataclasses.replace(scene, weather="clear", time_of_day="day" if with_time else scene.time_of_day)
    text = caption(silent, rng)
    if any(word in text for word in _UNSAID):
        return None  # it says that the weather is fine, or that it is day
    place = place_of(scene)
    for phrase in sorted(zh.PLACES[place], key=len, reverse=True):
        if phrase in text:
            clauses = [rng.choice(zh.TIMES[scene.time_of_day])] * with_time + [rng.choice(zh.WEATHERS[scene.weather])]
            placed = text.replace(phrase, _placed_zh(phrase, scene, rng, with_time=with_time), 1)
            return placed, "，".join([text.rstrip("。"), *clauses])
    for phrase in sorted(en.PLACES[place], key=len, reverse=True):
        if (at := text.lower().find(phrase)) >= 0:
            clauses = [rng.choice(en.TIMES[scene.time_of_day])] * with_time + [rng.choice(en.WEATHERS[scene.weather])]
            said = text[at : at + len(phrase)]
            placed = text[:at] + _placed_en(said, scene, rng, with_time=with_time) + text[at + len(phrase) :]
            return placed, ", ".join([text.rstrip("."), *clauses])
    return None


def styled(scene: Scene, rng: random.Random) -> tuple[str, str] | None:
    """A sentence whose style is said in other words, or with words around it, and the same by the grammar alone."""
    if scene.style == NO_STYLE:
        return None
    text, comma, chinese = _unfinished(dataclasses.replace(scene, style=NO_STYLE), rng)
    phrase = rng.choice((zh if chinese else en).STYLES[scene.style])
    carrier = rng.choice(_STYLED_ZH if chinese else _STYLED_EN)
    if rng.random() < 0.5:
        other = rng.choice((synonyms.STYLES_ZH if chinese else synonyms.STYLES_EN)[scene.style])
        said = other if rng.random() < BARE else carrier.format(other)
    else:
        said = carrier.format(phrase)
    return f"{text}{comma}{said}", f"{text}{comma}{phrase}"


def timed(scene: Scene, rng: random.Random) -> tuple[str, str] | None:
    """A sentence whose time of day is said with other words, anywhere, and the same with the grammar's clause behind.

    None: the grammar's sentence says that it is day already.
    """
    time = scene.time_of_day
    text, comma, chinese = _unfinished(dataclasses.replace(scene, time_of_day="day"), rng)
    if any(word in text.lower() for word in _DAY):
        return None
    phrase = rng.choice((zh if chinese else en).TIMES[time])
    other = rng.choice((synonyms.TIMES_ZH if chinese else synonyms.TIMES_EN)[time])
    joint = rng.choice(("，", "的", "，", "，")) if chinese else ", "
    asked = f"{other}{joint}{text}" if rng.random() < 0.5 else f"{text}{comma}{other}"
    return asked, f"{text}{comma}{phrase}"


def _unfinished(scene: Scene, rng: random.Random) -> tuple[str, str, bool]:
    """A sentence of the grammar without its full stop, the comma that may follow, and whether it is Chinese."""
    text = caption(scene, rng).rstrip("。.")
    chinese = re.search("[\u4e00-\u9fff]", text) is not None
    return text, "，" if chinese else ", ", chinese


def weather_spans(text: str) -> list[tuple[int, int, str]]:
    """Where a sentence of the grammar says rain, snow or fog: half open spans of characters, and which it is."""
    return [(*found.span(), str(found.lastgroup)) for found in _CLAUSE.finditer(text)]


def stressed(runs: Runs, stress: float) -> Runs:
    """The same text, what it says of rain weighted by so much more, of snow and fog by that to the power `LOUDNESS`."""
    text, weights = "".join(run.text for run in runs), [run.weight for run in runs for _ in run.text]
    for start, end, name in weather_spans(text):
        weights[start:end] = [weight * stress ** LOUDNESS[name] for weight in weights[start:end]]
    return merge_runs(WeightedText(letter, weight) for letter, weight in zip(text, weights, strict=True))


def whole(text: str) -> Runs:
    """A text as one run without a weight."""
    return (WeightedText(text, 1.0),)


def _placed_zh(place: str, scene: Scene, rng: random.Random, *, with_time: bool) -> str:
    if with_time:
        return rng.choice(_WITH_TIME_ZH[scene.weather, scene.time_of_day]) + place
    if rng.random() < 0.25:
        return place + rng.choice(_AFTER_ZH[scene.weather])
    return rng.choice(_BEFORE_ZH[scene.weather]) + place


def _placed_en(place: str, scene: Scene, rng: random.Random, *, with_time: bool) -> str:
    if with_time:
        return f"{place} {rng.choice(_WITH_TIME_EN[scene.weather, scene.time_of_day])}"
    word = rng.choice(_BEFORE_EN[scene.weather])
    if _ARTICLE.search(place) is None:
        return f"{word} weather {place}" if rng.random() < 0.5 else f"{place} in {word} weather"
    return _ARTICLE.sub(lambda found: f"{found[1]} {'a' if found[2] == 'an' else found[2]} {word} ", place, count=1)
