"""The ground truth of one clip, and how scenes are drawn at random.

Owns `Scene`, its sampling distribution and the rule that reserves combinations for evaluation. Does not know pixels or
words. World lengths are in units of the frame's shorter side, so that one scene fits every aspect ratio.
"""

from __future__ import annotations

import dataclasses
import random
import zlib
from dataclasses import dataclass

from training.attributes import (
    BACKDROPS,
    COLOURS,
    INDOOR,
    NATURAL,
    NO_STYLE,
    NO_SUBJECT,
    STYLES,
    SUBJECTS,
)

HELD_OUT_ONE_IN = 32
EXAMPLE_SHARE = 0.02
SIZE_FACTORS: dict[str, float] = {"small": 0.62, "medium": 1.0, "large": 1.38}


@dataclass(frozen=True, slots=True)
class Scene:
    """What one clip shows. Names are values of `training.attributes`; every field has the value a plain clip has.

    Attributes:
        subject, colour, count, size, scene, time_of_day, weather, light, motion, camera, style: what a caption may say.
        pace: crossings of the frame (or cycles of a turn or drift) in eight seconds; about 1 (slow) to 2.3 (fast).
        x: where the subject is at time 0, from -1 (left) to 1 (right) of the free room.
        lift: how high a floating subject hovers, 0 to 1.
        scale: random factor on the size's own factor, about 0.92 to 1.08.
        facing: 1 faces right, -1 faces left; a subject that moves faces where it goes.
        phase: 0 to 1, where in its cycle the subject starts.
        tint: 0 to 1, the shade of a plain studio.
        seed: 0 to 255, the layout of hills, houses and flakes.
        intensity: 0 to 1, how much of its weather shows.
    """

    subject: str = "ball"
    colour: str = "red"
    count: int = 1
    size: str = "medium"
    scene: str = "studio"
    time_of_day: str = "day"
    weather: str = "clear"
    light: str = "soft"
    motion: str = "still"
    camera: str = "still"
    style: str = NO_STYLE
    pace: float = 1.6
    x: float = 0.0
    lift: float = 0.5
    scale: float = 1.0
    facing: int = 1
    phase: float = 0.0
    tint: float = 0.5
    seed: int = 0
    intensity: float = 1.0


EXAMPLES: tuple[tuple[str, Scene], ...] = (
    ("一只红色的球从左向右移动", Scene(motion="right")),
    ("a red ball moving from left to right", Scene(motion="right")),
    (
        "一只青灰色机械猫在雨夜东京街头踱步,赛博朋克风格",
        Scene(
            "mechanical_cat", "steel", scene="tokyo_street", time_of_day="night", weather="rain", light="neon",
            motion="right", style="Cyberpunk Neon", pace=1.1,
        ),
    ),
    (
        "穿红斗篷的少女站在雪山悬崖边,逆光金边,胶片颗粒感,电影宽银幕,8K细节",
        Scene(
            "girl", "red", scene="cliff", time_of_day="dusk", light="backlight", style="Cinematic Realism",
        ),
    ),
    ("静卧的猎豹", Scene("cheetah", NATURAL, scene="meadow")),
    (
        "2077年新上海,悬浮车流穿梭于玻璃幕墙摩天楼之间,霓虹广告投射在湿漉路面上,景深镜头,8K",
        Scene(
            "hover_car", "blue", count=3, size="small", scene="future_city", time_of_day="night", light="neon",
            motion="right", pace=2.2,
        ),
    ),
    ("咖啡馆,木质吧台", Scene(NO_SUBJECT, NATURAL, scene="cafe")),
)  # fmt: skip


def combination(scene: Scene) -> tuple[str, str, str, str, str]:
    """The attributes whose combinations are reserved."""
    return scene.subject, scene.colour, scene.scene, scene.motion, scene.style


# By whether hard scenes are asked for: plain scenes in a studio; clear, rain, snow and fog; scenes without a style;
# scenes with several subjects.
_SIMPLE_SHARES = (0.45, 0.25)
_WEATHER_SHARES = ((0.62, 0.14, 0.14, 0.10), (0.37, 0.22, 0.20, 0.21))
_PLAIN_SHARES = (0.42, 0.3)
_GROUP_SHARES = (0.3, 0.38)
_HARD_SUBJECTS = {
    "cat": 1.5, "mechanical_cat": 2.0, "bird": 1.5, "girl": 1.4, "hover_car": 1.2, "lantern": 1.5, "tree": 1.2,
}  # fmt: skip
_HARD_BACKDROPS = {"desert": 1.4}
_HARD_STYLES = {"Pixel Art": 2.0, "Cinematic Realism": 1.4, "Clay Stop Motion": 1.3}

_TRAINED = frozenset(combination(scene) for _, scene in EXAMPLES)


def is_held_out(scene: Scene) -> bool:
    """Whether the scene's combination is reserved for evaluation (about one in 32, never one of `EXAMPLES`)."""
    key = combination(scene)
    return key not in _TRAINED and zlib.crc32("|".join(key).encode()) % HELD_OUT_ONE_IN == 0


def is_airborne(scene: Scene) -> bool:
    """Whether the subject is in the air all the time."""
    return SUBJECTS[scene.subject].floats or (scene.subject == "bird" and scene.motion != "still")


def is_ashore(scene: Scene) -> bool:
    """Whether the sea is seen from a beach, because the subject can neither swim nor fly."""
    return scene.scene == "sea" and scene.subject not in ("boat", NO_SUBJECT) and not is_airborne(scene)


def sample_scene(rng: random.Random, *, held_out: bool | None = None, hard: bool = False) -> Scene:
    """Draw one scene.

    Args:
        held_out: True for reserved combinations only, False for never those, None for any.
        hard: what a network learns last comes more often: cats, birds, groups, what rises, rain, snow, fog, styles.
    """
    while True:
        scene = _sample_any(rng, hard)
        if held_out is None or is_held_out(scene) == held_out:
            return scene


def place(scene: Scene, rng: random.Random) -> Scene:
    """The same attributes with new continuous placement (position, pace, phase, scale, layout)."""
    slow, fast = (1.0, 1.7) if scene.size == "large" else (1.0, 2.3)
    moves = scene.motion in ("left", "right")
    facing = {"left": -1, "right": 1}.get(scene.motion, rng.choice((-1, 1)))
    start = -0.45 * facing + rng.gauss(0.0, 0.3) if moves else rng.uniform(-0.75, 0.75)
    return dataclasses.replace(
        scene,
        pace=rng.uniform(slow, fast),
        x=max(-1.0, min(1.0, start)),
        lift=rng.random(),
        scale=rng.uniform(0.92, 1.08),
        facing=facing,
        phase=rng.random(),
        tint=rng.random(),
        seed=rng.randrange(256),
    )


def _sample_any(rng: random.Random, hard: bool) -> Scene:
    chance = rng.random()
    if chance < EXAMPLE_SHARE:
        return place(rng.choice(EXAMPLES)[1], rng)
    simple = chance < EXAMPLE_SHARE + _SIMPLE_SHARES[hard]
    subject = _sample_subject(rng, simple, hard)
    kind = SUBJECTS[subject]
    backdrop = "studio" if simple else _sample_backdrop(rng, subject, hard)
    motion = _sample_motion(rng, subject, backdrop, hard)
    scene = Scene(
        subject=subject,
        colour=_sample_colour(rng, subject),
        count=rng.randint(2, kind.max_count) if kind.max_count > 1 and rng.random() < _GROUP_SHARES[hard] else 1,
        size=rng.choices(("small", "medium", "large"), (0.15, 0.7, 0.15))[0],
        scene=backdrop,
        motion=motion,
    )
    return place(scene if simple else _sample_mood(rng, scene, hard), rng)


def _sample_subject(rng: random.Random, simple: bool, hard: bool) -> str:
    names = [name for name in SUBJECTS if not (simple and name == NO_SUBJECT)]
    more = _HARD_SUBJECTS if hard else {}
    return rng.choices(names, [SUBJECTS[name].frequency * more.get(name, 1.0) for name in names])[0]


def _sample_backdrop(rng: random.Random, subject: str, hard: bool) -> str:
    allowed = SUBJECTS[subject].backdrops
    often = {"studio": 0.7} | (_HARD_BACKDROPS if hard else {})
    return rng.choices(allowed, [often.get(name, 1.0) for name in allowed])[0]


def _sample_colour(rng: random.Random, subject: str) -> str:
    kind = SUBJECTS[subject]
    if kind.natural and (not kind.colours or rng.random() < 0.6):
        return NATURAL
    favourite = {"girl": "red", "mechanical_cat": "steel", "lantern": "red"}.get(subject)
    if favourite and rng.random() < 0.3:
        return favourite
    return rng.choices(COLOURS, [0.4 if name in ("steel", "grey") else 1.0 for name in COLOURS])[0]


def _sample_motion(rng: random.Random, subject: str, backdrop: str, hard: bool) -> str:
    allowed = SUBJECTS[subject].motions
    if backdrop == "cliff":  # nobody walks off the edge
        allowed = tuple(name for name in allowed if SUBJECTS[subject].floats or name not in ("left", "right"))
    often = {"left": 1.5, "right": 1.5} | ({"rise": 2.5} if hard else {})
    return rng.choices(allowed, [often.get(name, 1.0) for name in allowed])[0]


def _sample_mood(rng: random.Random, scene: Scene, hard: bool) -> Scene:
    """Time of day, weather, light, camera and style of a scene that is not a plain one."""
    night = 0.5 if scene.scene in ("tokyo_street", "future_city") else 0.22
    time_of_day = rng.choices(("day", "dusk", "night"), (0.8 - night, 0.2, night))[0]
    weather = rng.choices(("clear", "rain", "snow", "fog"), _WEATHER_SHARES[hard])[0]
    lights = (0.64, 0.18, 0.18) if time_of_day != "day" else (0.8, 0.14, 0.06)
    moves = scene.motion in ("left", "right")
    cameras = (0.72, 0.0, 0.10, 0.18) if moves else (0.66, 0.18, 0.16, 0.0)
    return dataclasses.replace(
        scene,
        time_of_day=time_of_day,
        weather="clear" if scene.scene in INDOOR else weather,
        light=rng.choices(("soft", "backlight", "neon"), lights)[0],
        camera=rng.choices(("still", "pan", "push_in", "follow"), cameras)[0],
        style=NO_STYLE if rng.random() < _PLAIN_SHARES[hard] else _sample_style(rng, hard),
    )


def _sample_style(rng: random.Random, hard: bool) -> str:
    if not hard:  # another draw of the generator, which the benchmark's scenes are made by
        return rng.choice(STYLES)
    return rng.choices(STYLES, [_HARD_STYLES.get(name, 1.0) for name in STYLES])[0]


def validate(scene: Scene) -> None:
    """Check a scene that was made by hand.

    Raises:
        ValueError: names the attribute that the world cannot show.
    """
    kind = SUBJECTS.get(scene.subject)
    if kind is None:
        raise ValueError(f"subject {scene.subject!r}: not one of {', '.join(SUBJECTS)}")
    if scene.scene not in BACKDROPS:
        raise ValueError(f"scene {scene.scene!r}: not one of {', '.join(BACKDROPS)}")
    if scene.motion not in kind.motions:
        raise ValueError(f"motion {scene.motion!r}: a {scene.subject} does one of {', '.join(kind.motions)}")
    if not 1 <= scene.count <= kind.max_count:
        raise ValueError(f"count {scene.count}: 1 to {kind.max_count} of {scene.subject}")
    if scene.colour not in COLOURS and not (kind.natural and scene.colour == NATURAL):
        raise ValueError(f"colour {scene.colour!r}: not one of {', '.join(COLOURS)}")
    if scene.style not in (NO_STYLE, *STYLES):
        raise ValueError(f"style {scene.style!r}: not one of {', '.join(STYLES)}")
