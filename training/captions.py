"""Sentences about scenes, as people would type them: Chinese (70 %) or English, whole or with parts left free.

Owns grammar and how often each part is said; the words are in `phrases_zh` and `phrases_en`. What is said is true; what
is plain (studio, day, clear, no style) is mostly left out, so that a short prompt means a plain picture.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator, Mapping
from types import ModuleType

from styles import load_styles
from training import phrases_en as en
from training import phrases_zh as zh
from training.attributes import NATURAL, NO_STYLE, NO_SUBJECT
from training.scene import EXAMPLES, Scene, is_ashore, sample_scene

CHINESE_SHARE = 0.7
EXAMPLE_TEXT_SHARE = 0.5
TEMPLATE_SHARE = 0.4  # of the captions that name a style
LOOSE_SHARE = 0.35
"""Of the Chinese captions: wordings that no grammar would give, with clauses in any order, asides, links left out."""
SLOW_PACE, FAST_PACE = 1.25, 1.9

_SAID: dict[str, tuple[str, float, float]] = {  # the plain value, how often it is said, how often another one is
    "scene": ("studio", 0.12, 0.92),
    "time_of_day": ("day", 0.12, 0.88),
    "weather": ("clear", 0.07, 0.92),
    "light": ("soft", 0.08, 0.85),
    "camera": ("still", 0.05, 1.0),
    "style": (NO_STYLE, 0.0, 0.95),
    "size": ("medium", 0.02, 0.80),
}


def caption(scene: Scene, rng: random.Random) -> str:
    """One true sentence about the scene; never empty, at most about 100 tokens."""
    if rng.random() < EXAMPLE_TEXT_SHARE:
        fixed = [text for text, example in EXAMPLES if _attributes(example) == _attributes(scene)]
        if fixed:
            text = rng.choice(fixed)
            return text if rng.random() < 0.6 else text.replace(",", rng.choice(("，", " ", "、")))
    chinese = rng.random() < CHINESE_SHARE
    text = _chinese(scene, rng) if chinese else _english(scene, rng)
    if scene.style != NO_STYLE and _says(scene, "style", rng):
        if rng.random() < TEMPLATE_SHARE:
            return _template(scene.style, text, rng)
        words = rng.choice((zh if chinese else en).STYLES[scene.style])
        comma = _comma(rng, chinese)
        text = f"{text}{comma}{words}" if rng.random() < 0.75 else f"{words}{comma}{text}"
    if rng.random() < 0.10:
        module = zh if chinese and rng.random() < 0.7 else en
        text += "".join(_comma(rng, chinese) + word for word in rng.sample(module.QUALITY, rng.randint(1, 3)))
    return _loosened(text, rng) if chinese and rng.random() < LOOSE_SHARE else text


def corpus(rng: random.Random, n: int) -> Iterator[str]:
    """Text for the vocabulary: the example prompts, all words of the styles, every phrase once, then n captions."""
    yield from (text for text, _ in EXAMPLES)
    for style in load_styles().values():
        yield from (style.prompt.replace("{prompt}", ""), style.name, style.name_zh, style.suits_zh, style.looks_zh)
        yield from (style.phrase_zh, style.suits, style.looks, style.negative_prompt)
    yield from _phrases(zh)
    yield from _phrases(en)
    for _ in range(n):
        yield caption(sample_scene(rng), rng)


def _attributes(scene: Scene) -> tuple[str | int, ...]:
    return (
        scene.subject, scene.colour, scene.count, scene.size, scene.scene, scene.time_of_day, scene.weather,
        scene.light, scene.motion, scene.camera, scene.style,
    )  # fmt: skip


def place_of(scene: Scene) -> str:
    """Which of the places of `phrases_zh` and `phrases_en` the scene is at."""
    return "beach" if is_ashore(scene) else scene.scene


def _says(scene: Scene, attribute: str, rng: random.Random) -> bool:
    plain, plainly, otherwise = _SAID[attribute]
    return rng.random() < (plainly if getattr(scene, attribute) == plain else otherwise)


def _chinese(scene: Scene, rng: random.Random) -> str:
    comma = _comma(rng, chinese=True)
    place = rng.choice(zh.PLACES[place_of(scene)]) if scene.subject == NO_SUBJECT or _says(scene, "scene", rng) else ""
    when = _says(scene, "time_of_day", rng)
    wet = scene.weather != "clear" and _says(scene, "weather", rng)
    before = ""
    if place and when and rng.random() < 0.5 and "," not in place:
        when = False
        before = rng.choice(zh.TIMES_OF[scene.time_of_day])
        if wet and scene.weather in ("rain", "snow") and scene.time_of_day == "night" and rng.random() < 0.6:
            wet = False
            before = rng.choice({"rain": ("雨夜", "雨夜的"), "snow": ("雪夜", "雪夜的")}[scene.weather])
    extras: list[str] = []
    if when:
        extras.append(rng.choice(zh.TIMES[scene.time_of_day]))
    if wet or (scene.weather == "clear" and _says(scene, "weather", rng) and scene.scene != "cafe"):
        extras.append(rng.choice(zh.WEATHERS[scene.weather]))
    extras += [rng.choice(table[getattr(scene, name)]) for name, table in _MOOD_ZH if _says(scene, name, rng)]
    core = _chinese_core(scene, rng, before + place, comma)
    if rng.random() < 0.3:
        rng.shuffle(extras)
    first = [extras.pop(0)] if extras and rng.random() < 0.25 else []
    opening = rng.choice(zh.OPENINGS) if rng.random() < 0.04 else ""
    return opening + comma.join([*first, core, *extras])


_MOOD_ZH: tuple[tuple[str, dict[str, tuple[str, ...]]], ...] = (("light", zh.LIGHTS), ("camera", zh.CAMERAS))
_MOOD_EN: tuple[tuple[str, dict[str, tuple[str, ...]]], ...] = (("light", en.LIGHTS), ("camera", en.CAMERAS))


def _chinese_core(scene: Scene, rng: random.Random, place: str, comma: str) -> str:
    if scene.subject == NO_SUBJECT:
        return place
    noun = _chinese_noun(scene, rng)
    action = _chinese_action(scene, rng)
    if not place:
        if not action and scene.motion == "still" and abs(scene.x) > 0.45 and scene.count == 1 and rng.random() < 0.2:
            return f"{noun}在画面{'左' if scene.x < 0 else '右'}边"
        return noun + action
    if "," in place:
        return f"{place}{comma}{noun}{action}"
    form = rng.random()
    if form < 0.40:
        return f"{place}{comma}{noun}{action}"
    if form < 0.55 and not action:
        return f"{place}有{noun}"
    if form < 0.80:
        return f"{noun}在{place}{action}"
    if form < 0.9 and not action:
        return f"{place}的{noun}"
    return f"{noun}{action}{comma}{place}"


def _chinese_noun(scene: Scene, rng: random.Random) -> str:
    measures, nouns = zh.NOUNS[scene.subject]
    noun = rng.choice(nouns)
    size = rng.choice(zh.SIZES[scene.size]) if _says(scene, "size", rng) else ""
    number = ""
    if scene.count > 1 and rng.random() < 0.96:
        vague = rng.random() < 0.08
        number = rng.choice(zh.GROUPS if vague else zh.NUMBERS[scene.count - 1]) + rng.choice(measures)
    elif scene.count == 1 and rng.random() < 0.75:
        number = rng.choice(zh.NUMBERS[0]) + rng.choice(measures)
    if scene.subject in ("cat", "mechanical_cat", "ball") and scene.count == 1 and number and rng.random() < 0.6:
        number = "一只"
    colour = ""
    if scene.colour != NATURAL and rng.random() < 0.90:
        short, longs = zh.COLOURS[scene.colour]
        if scene.subject == "girl":
            wear = rng.choice(("穿", "披着", "身穿", "穿着"))
            tone = short if rng.random() < 0.4 else rng.choice(longs) + rng.choice(("", "的"))
            return f"{number}{wear}{tone}斗篷的{size if len(size) == 1 else ''}{noun}"
        colour = short if rng.random() < 0.25 else rng.choice(longs) + ("的" if rng.random() < 0.85 else "")
    if len(size) == 1 and noun[0] in "小大迷":
        size = ""
    return f"{number}{size}{colour}{noun}"


def _chinese_action(scene: Scene, rng: random.Random) -> str:
    if rng.random() > {"still": 0.22}.get(scene.motion, 0.90):
        return ""
    speed = ""
    if scene.motion != "still" and scene.motion != "jump" and rng.random() < 0.45:
        speed = rng.choice(zh.SLOW) if scene.pace < SLOW_PACE else rng.choice(zh.FAST) if scene.pace > FAST_PACE else ""
    if scene.motion in ("left", "right"):
        if rng.random() < 0.07:
            return speed + rng.choice(zh.GOING[scene.subject])
        phrase = rng.choice(zh.RIGHT).format(v=rng.choice(zh.VERBS[scene.subject]))
        return speed + (phrase if scene.motion == "right" else _mirrored(phrase))
    choices: Mapping[str, tuple[str, ...]] = {
        "still": zh.STILL[scene.subject],
        "jump": zh.JUMP,
        "spin": zh.SPIN,
        "rise": zh.RISE.get(scene.subject, zh.RISE_ELSE),
        "drift": zh.DRIFT.get(scene.subject, zh.DRIFT_ELSE),
    }
    return speed + rng.choice(choices[scene.motion])


def _mirrored(phrase: str) -> str:
    """The phrase with left and right exchanged."""
    return phrase.translate(str.maketrans("左右", "右左"))


def _english(scene: Scene, rng: random.Random) -> str:
    place = rng.choice(en.PLACES[place_of(scene)]) if scene.subject == NO_SUBJECT or _says(scene, "scene", rng) else ""
    time = rng.choice(en.TIMES[scene.time_of_day]) if _says(scene, "time_of_day", rng) else ""
    extras: list[str] = []
    if scene.scene != "cafe" and _says(scene, "weather", rng):
        extras.append(rng.choice(en.WEATHERS[scene.weather]))
    extras += [rng.choice(table[getattr(scene, name)]) for name, table in _MOOD_EN if _says(scene, name, rng)]
    if rng.random() < 0.3:
        rng.shuffle(extras)
    if scene.subject == NO_SUBJECT:
        bare = re.sub(r"^(on|in|at|between|among|against)( front of)? ", "", place)
        core = " ".join(part for part in (bare, time) if part)
    else:
        noun, action = _english_noun(scene, rng), _english_action(scene, rng)
        if place and rng.random() < 0.25:
            core = f"{' '.join(part for part in (place, time) if part)}, {noun} {action}".rstrip()
        else:
            core = " ".join(part for part in (noun, action, place, time) if part)
    text = ", ".join([core, *extras])
    if rng.random() < 0.04:
        text = f"{rng.choice(en.OPENINGS)} {text}"
    return text[0].upper() + text[1:] if rng.random() < 0.3 else text


def _english_noun(scene: Scene, rng: random.Random) -> str:
    noun = rng.choice(en.NOUNS[scene.subject])
    words: list[str] = []
    if _says(scene, "size", rng):
        words.append(rng.choice(en.SIZES[scene.size]))
    coloured = scene.colour != NATURAL and rng.random() < 0.90
    colour = rng.choice(en.COLOURS[scene.colour]) if coloured else ""
    if colour and scene.subject != "girl":
        words.append(colour)
    if scene.count > 1:
        number = rng.choice(en.GROUPS if rng.random() < 0.08 else en.NUMBERS[scene.count - 1])
        noun = en.PLURALS.get(noun, noun if noun.endswith("s") else noun + "s")
    else:
        number = rng.choice((*en.NUMBERS[0], "the", ""))
    words.append(noun)
    if number == "a" and words[0][0] in "aeiou":
        number = "an"
    tail = f" in {'' if scene.count > 1 else 'a '}{colour} cloak{'s' if scene.count > 1 else ''}" if coloured else ""
    return " ".join(part for part in (number, *words) if part) + (tail if scene.subject == "girl" else "")


def _english_action(scene: Scene, rng: random.Random) -> str:
    if rng.random() > {"still": 0.22}.get(scene.motion, 0.90):
        return ""
    if scene.motion in ("left", "right"):
        phrase = rng.choice(en.RIGHT).format(v=rng.choice(en.VERBS[scene.subject]))
        if scene.motion == "left":
            phrase = re.sub(r"left|right", lambda side: "right" if side[0] == "left" else "left", phrase)
    else:
        phrase = rng.choice(
            {
                "still": en.STILL.get(scene.subject, en.STILL_ELSE),
                "jump": en.JUMP,
                "spin": en.SPIN,
                "rise": en.RISE,
                "drift": en.DRIFT,
            }[scene.motion]
        )
    if scene.motion not in ("still", "jump") and rng.random() < 0.45:
        if scene.pace < SLOW_PACE:
            phrase += " " + rng.choice(en.SLOW)
        elif scene.pace > FAST_PACE:
            phrase += " " + rng.choice(en.FAST)
    return phrase


def _loosened(text: str, rng: random.Random) -> str:
    """The same said carelessly: clauses exchanged, asides between them, particles dropped."""
    clauses = [clause for clause in re.split("[，,、]", text) if clause.strip()]
    if rng.random() < 0.5:
        rng.shuffle(clauses)
    if rng.random() < 0.4:
        clauses.insert(rng.randint(0, len(clauses)), rng.choice(zh.FILLERS))
    if rng.random() < 0.2:
        clauses.insert(0, rng.choice(zh.OPENINGS).rstrip(",，:："))
    if rng.random() < 0.3:
        clauses = [re.sub("[的地着]", "", clause, count=1) for clause in clauses]
    if rng.random() < 0.25:
        at = rng.randrange(len(clauses))
        clauses[at] = rng.choice(zh.LINKS) + clauses[at]
    joint = rng.choice(("，", "，", ",", "、", " ", "。", ""))
    return joint.join(clauses) + rng.choice(("", "", "", "。", "！"))


def _template(style: str, text: str, rng: random.Random) -> str:
    """The style's own template around the text, sometimes with a part of its words only."""
    template = re.sub(r"[()（）]|[:：]\d+(\.\d+)?", "", _templates()[style])
    if rng.random() < 0.5:
        return template.replace("{prompt}", text)
    parts = [part.strip() for part in template.split(",")]
    kept = [part for part in parts if part == "{prompt}" or rng.random() < 0.7]
    named = [part for part in kept if part != "{prompt}" and part not in ("masterpiece", "best quality")]
    return ", ".join(kept if named else parts).replace("{prompt}", text)


@functools.cache
def _templates() -> dict[str, str]:
    """The shipped styles' templates by name, read once."""
    return {name: style.prompt for name, style in load_styles().items()}


def _comma(rng: random.Random, chinese: bool) -> str:
    return rng.choice(("，", "，", "，", ",", " ")) if chinese else ", "


def _phrases(words: ModuleType) -> Iterator[str]:
    """Every phrase of a word module once, so that no word is missing from the vocabulary."""
    for table in vars(words).values():
        if isinstance(table, Mapping | tuple):
            yield from _strings(table)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value.replace("{v}", "")
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _strings(item)
