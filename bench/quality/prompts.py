"""The held-out prompts: sentences about combinations that were never trained on, and what each of them says.

Owns the two files in bench/data: `grammar.json`, sentences of the training grammar, and `free_wording.json`, sentences
written by hand that the grammar does not make. `python -m bench.quality.prompts` makes the first one anew. What a
sentence leaves free is not scored.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.judges.labels import HEADS, truth
from training import phrases_en, phrases_zh
from training.attributes import BACKDROPS, COLOURS, NATURAL, NO_STYLE, NO_SUBJECT, STYLES, SUBJECTS
from training.captions import caption
from training.scene import Scene, is_ashore, is_held_out, sample_scene

DATA = Path(__file__).resolve().parents[1] / "data"
GRAMMAR, FREE = DATA / "grammar.json", DATA / "free_wording.json"
NUM_GRAMMAR, SEED = 250, 20_260
_TRIES = 6  # sentences about a scene, of which the one that says most is taken
_PLAIN_KEPT = 0.35


@dataclass(frozen=True, slots=True)
class Prompt:
    """One sentence.

    Attributes:
        text: as a person types it.
        truth: what it says, by head of the judges.
        scene: a scene of the world that it describes, for the ceiling.
        free: whether it was written by hand.
    """

    text: str
    truth: Mapping[str, str]
    scene: Scene
    free: bool


def load_prompts(count: int) -> list[Prompt]:
    """The first prompts of the fixed set, sentences of the grammar and by hand in turn while there are both.

    Raises:
        ValueError: there are not that many.
    """
    grammar, free = _read(GRAMMAR, free=False), _read(FREE, free=True)
    mixed = [prompt for pair in itertools.zip_longest(grammar, free) for prompt in pair if prompt is not None]
    if not 1 <= count <= len(mixed):
        raise ValueError(f"{count} prompts: 1 to {len(mixed)}")
    return mixed[:count]


def said(scene: Scene, seed: int) -> dict[str, str]:
    """What the grammar's sentence of this seed says of the scene, by head.

    A part that is not plain is said where another value in its place changes the sentence. A plain part (a studio,
    daylight, clear weather, no movement) is said where one of its phrases stands in the sentence.
    """
    text = caption(scene, random.Random(seed))
    found: dict[str, str] = {}
    for head, value in truth(scene).items():
        plain = _plain_phrases(head, scene)
        if plain is not None:
            heard = any(phrase.lower() in text.lower() for phrase in plain)
        else:
            heard = any(caption(other, random.Random(seed)) != text for other in _others(head, scene))
        if heard:
            found[head] = value
    return found


def grammar_prompts(count: int, seed: int) -> list[Prompt]:
    """Sentences of the grammar about held-out scenes, each scene's combination once."""
    rng, seen, made = random.Random(seed), set[str](), list[Prompt]()
    while len(made) < count:
        scene = sample_scene(rng, held_out=True)
        plain = scene.scene == "studio" and scene.style == NO_STYLE and scene.time_of_day == "day"
        if plain and rng.random() > _PLAIN_KEPT:
            continue
        seeds = [rng.randrange(2**31) for _ in range(_TRIES)]
        best = max(seeds, key=lambda number: len(said(scene, number)))
        text, heard = caption(scene, random.Random(best)), said(scene, best)
        if text not in seen and len(heard) >= 2:
            seen.add(text)
            made.append(Prompt(text, heard, scene, free=False))
    return made


def to_json(prompts: Iterable[Prompt]) -> str:
    """One prompt a line; of a scene, what differs from the plain one."""
    plain = dataclasses.asdict(Scene())
    lines: list[str] = []
    for prompt in prompts:
        scene = {name: value for name, value in dataclasses.asdict(prompt.scene).items() if value != plain[name]}
        row = {"text": prompt.text, "truth": dict(prompt.truth), "scene": scene}
        lines.append(json.dumps(row, ensure_ascii=False))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _read(path: Path, *, free: bool) -> list[Prompt]:
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    prompts = [Prompt(row["text"], row["truth"], Scene(**row["scene"]), free) for row in rows]
    for prompt in prompts:
        _check(prompt, path)
    return prompts


def _check(prompt: Prompt, path: Path) -> None:
    true = truth(prompt.scene)
    for head, value in prompt.truth.items():
        if value not in HEADS[head] or true.get(head) != value:
            raise ValueError(f"{path.name}: {prompt.text!r} says {head} {value!r}, its scene {true.get(head)!r}")
    if not is_held_out(prompt.scene):
        raise ValueError(f"{path.name}: {prompt.text!r}: this combination was trained on")


def _plain_phrases(head: str, scene: Scene) -> tuple[str, ...] | None:
    """The phrases for a plain part, or None where the scene's value of this head is not plain."""

    def phrases(table: str, key: str) -> tuple[str, ...]:
        return tuple(phrase for words in (phrases_zh, phrases_en) for phrase in _of(words, table).get(key, ()))

    if head == "scene" and scene.scene == "studio":
        return phrases("PLACES", "studio")
    if head == "time_of_day" and scene.time_of_day == "day":
        return phrases("TIMES", "day") + phrases_zh.TIMES_OF["day"]
    if head == "weather" and scene.weather == "clear":
        return phrases("WEATHERS", "clear")
    if head == "direction" and scene.motion == "still":
        return phrases("STILL", scene.subject) + phrases_en.STILL_ELSE
    if head == "style" and scene.style == NO_STYLE:
        return ()
    return None


def _of(words: ModuleType, table: str) -> Mapping[str, tuple[str, ...]]:
    return getattr(words, table)


def _others(head: str, scene: Scene) -> list[Scene]:
    """The scene with another value of a part, such that the grammar says it just as often."""
    if head == "direction":
        others = {"left": "right", "right": "left", "rise": "drift", "jump": "spin", "spin": "jump"}
        return [dataclasses.replace(scene, motion=others[scene.motion])]
    if head == "speed":
        return [dataclasses.replace(scene, pace=1.6)]
    if head == "count":
        # One thing needs no number: who says "a ball" or "ball" says one.
        return [dataclasses.replace(scene, count=5 if scene.count < 5 else 4)]
    values: dict[str, tuple[str, ...]] = {
        "subject": tuple(name for name in SUBJECTS if name != NO_SUBJECT),
        "colour": tuple(name for name in COLOURS if name != NATURAL),
        "scene": tuple(name for name in BACKDROPS if name not in ("studio", "cafe")),
        "time_of_day": ("dusk", "night"),
        "weather": ("rain", "snow", "fog"),
        "style": STYLES,
    }
    now: str = getattr(scene, head)
    others = (dataclasses.replace(scene, **{head: value}) for value in values[head] if value != now)
    return [other for other in others if is_ashore(other) == is_ashore(scene) or head != "subject"]


if __name__ == "__main__":
    GRAMMAR.write_text(to_json(grammar_prompts(NUM_GRAMMAR, SEED)), encoding="utf-8")
