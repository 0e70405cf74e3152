"""Sentences that say two things of one kind, 森林里，沙漠里, of which the weight of one decides which is meant.

Owns their forms, and what stays of them when either is left out. Does not know weights or embeddings: what a weight
does to an embedding belongs to `pipeline.text`.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from training import phrases_en as en
from training import phrases_zh as zh
from training.attributes import BACKDROPS, NO_STYLE, NO_SUBJECT, STYLES, SUBJECTS, TIMES_OF_DAY
from training.captions import caption
from training.scene import Scene

_KINDS = ("style", "style", "weather", "time_of_day", "scene", "colour")
_VALUES: Mapping[str, tuple[str, ...]] = {
    "style": STYLES,
    "weather": ("rain", "snow", "fog"),
    "time_of_day": TIMES_OF_DAY,
    "scene": tuple(name for name in BACKDROPS if name != "studio"),
}
_ZH: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "style": zh.STYLES,
    "weather": zh.WEATHERS,
    "time_of_day": zh.TIMES,
    "scene": zh.PLACES,
}
_EN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "style": en.STYLES,
    "weather": en.WEATHERS,
    "time_of_day": en.TIMES,
    "scene": en.PLACES,
}
_PLAIN = {"style": NO_STYLE, "weather": "clear", "time_of_day": "day", "scene": "studio"}
_LINKED_ZH, _LINKED_EN = ("相间的", "的", "相间"), (" and ", " and ", "-and-")
_CHINESE = re.compile("[一-鿿]")


@dataclass(frozen=True, slots=True)
class Contrast:
    """One such sentence.

    Attributes:
        start, end: where in `text` the phrase stands whose weight decides, half open.
        chosen: the sentence with this phrase and without the other.
        other: the sentence with the other phrase and without this one.
    """

    text: str
    start: int
    end: int
    chosen: str
    other: str


def contrast(scene: Scene, rng: random.Random) -> Contrast | None:
    """A sentence about the scene with two values of one kind; None: the scene's sentence says one of that kind."""
    kind = rng.choice(_KINDS)
    if kind == "colour":
        return _two_colours(scene, rng)
    if scene.subject == NO_SUBJECT and kind == "scene":
        return None
    about = dataclasses.replace(scene, **{kind: _PLAIN[kind]})
    base = caption(about, rng).rstrip("。！.")
    tables = _ZH if (chinese := _CHINESE.search(base) is not None) else _EN
    if any(word in base.lower() for words in (_ZH[kind], _EN[kind]) for word in words.get(_PLAIN[kind], ())):
        return None
    one, another = (rng.choice(tables[kind][value]) for value in rng.sample(_VALUES[kind], 2))
    comma = rng.choice(("，", "，", "，", ",", "、")) if chinese else ", "
    parts = [base, one, another] if rng.random() < 0.6 else [base, another, one]
    if rng.random() < 0.2:
        parts = [*parts[1:], base]
    start = sum(len(part) + len(comma) for part in parts[: parts.index(one)])
    chosen, other = (comma.join(part for part in parts if part != left) for left in (another, one))
    return Contrast(comma.join(parts), start, start + len(one), chosen, other)


def _two_colours(scene: Scene, rng: random.Random) -> Contrast | None:
    colours = SUBJECTS[scene.subject].colours if scene.subject in SUBJECTS else ()
    if len(colours) < 2 or scene.subject == "girl":
        return None
    pair = rng.sample(colours, 2)
    if rng.random() < 0.7:
        measures, nouns = zh.NOUNS[scene.subject]
        before, noun = f"一{rng.choice(measures)}", rng.choice(nouns)
        one, another = (rng.choice(zh.COLOURS[colour][1]) for colour in pair)
        link, after, alone = "和", rng.choice(_LINKED_ZH) + noun, "的" + noun
        place = "，" + rng.choice(zh.PLACES[scene.scene]) if rng.random() < 0.4 else ""
    else:
        before, noun = "a ", rng.choice(en.NOUNS[scene.subject])
        one, another = (rng.choice(en.COLOURS[colour]) for colour in pair)
        link, after = rng.choice(_LINKED_EN), f" {noun}"
        alone, place = after, " " + rng.choice(en.PLACES[scene.scene]) if rng.random() < 0.4 else ""
    chosen, other = (f"{before}{colour}{alone}{place}" for colour in (one, another))
    if rng.random() < 0.6:
        return Contrast(
            f"{before}{one}{link}{another}{after}{place}", len(before), len(before) + len(one), chosen, other
        )
    start = len(before) + len(another) + len(link)
    return Contrast(f"{before}{another}{link}{one}{after}{place}", start, start + len(one), chosen, other)
