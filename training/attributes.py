"""The vocabulary of the procedural world: which values each attribute of a scene has and which go together.

Owns plain names and tables only. Does not know pixels, words of a language, or how often something is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

COLOURS: tuple[str, ...] = (
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "white", "black", "grey", "steel",
)  # fmt: skip
NATURAL = "natural"  # a cheetah's coat, a tree's leaves: the colour goes without saying

BACKDROPS: tuple[str, ...] = (
    "studio", "meadow", "snow_mountain", "cliff", "tokyo_street", "future_city", "sea", "forest", "desert", "cafe",
)  # fmt: skip
TIMES_OF_DAY: tuple[str, ...] = ("day", "dusk", "night")
WEATHERS: tuple[str, ...] = ("clear", "rain", "snow", "fog")
LIGHTS: tuple[str, ...] = ("soft", "backlight", "neon")
MOTIONS: tuple[str, ...] = ("still", "left", "right", "jump", "spin", "rise", "drift")
CAMERAS: tuple[str, ...] = ("still", "pan", "push_in", "follow")
SIZES: tuple[str, ...] = ("small", "medium", "large")

NO_STYLE = ""
STYLES: tuple[str, ...] = (
    "Cinematic Realism", "Anime Studio Ghibli", "Cyberpunk Neon", "Oil Painting", "Chinese Ink Wash", "Watercolor",
    "Pixel Art", "Clay Stop Motion", "3D Render", "Film Noir", "Vintage 1950s Film", "Paper Cut",
)  # fmt: skip

INDOOR: frozenset[str] = frozenset({"cafe"})
NO_SUBJECT = "none"


@dataclass(frozen=True, slots=True)
class SubjectKind:
    """What a kind of subject may do and how large it is.

    Attributes:
        height: in units of the frame's shorter side, at size "medium".
        width: of the drawn figure, in units of its height (it must fit into its cell when several stand in a row).
        motions: allowed values of `Scene.motion`.
        max_count: 1 to 5.
        natural: whether `NATURAL` is its usual colour.
        colours: allowed values besides `NATURAL`.
        floats: drawn in the air (lifted off the ground) rather than standing on it.
        backdrops: where it may be.
        frequency: relative weight when a subject is drawn at random.
    """

    height: float
    width: float
    motions: tuple[str, ...]
    max_count: int = 1
    natural: bool = False
    colours: tuple[str, ...] = COLOURS
    floats: bool = False
    backdrops: tuple[str, ...] = BACKDROPS
    frequency: float = 1.0


_LAND = tuple(name for name in BACKDROPS if name != "cafe")
_OPEN = tuple(name for name in BACKDROPS if name not in ("cafe", "cliff"))

SUBJECTS: dict[str, SubjectKind] = {
    "ball": SubjectKind(0.34, 1.0, ("still", "left", "right", "jump", "spin"), 5, frequency=1.6),
    "box": SubjectKind(0.34, 1.3, ("still", "left", "right", "jump", "spin"), 5),
    "balloon": SubjectKind(0.52, 0.62, ("still", "left", "right", "rise", "drift"), 5, floats=True),
    "car": SubjectKind(0.29, 2.25, ("still", "left", "right", "jump"), 2, backdrops=_OPEN, frequency=1.2),
    "boat": SubjectKind(0.50, 1.25, ("still", "left", "right", "drift"), 3, backdrops=("studio", "sea", "sea")),
    "bird": SubjectKind(0.30, 1.6, ("still", "left", "right", "rise", "drift"), 5),
    "cat": SubjectKind(0.42, 1.6, ("still", "left", "right", "jump", "spin"), 3, frequency=1.6),
    "mechanical_cat": SubjectKind(0.42, 1.6, ("still", "left", "right", "jump", "spin"), 3),
    "tree": SubjectKind(0.62, 0.8, ("still",), 5, natural=True, backdrops=_OPEN),
    "pine": SubjectKind(0.64, 0.62, ("still",), 5, natural=True, backdrops=_OPEN),
    "lantern": SubjectKind(0.44, 0.72, ("still", "left", "right", "rise", "drift", "spin"), 5, floats=True),
    "girl": SubjectKind(0.60, 0.72, ("still", "left", "right", "jump", "spin"), 3, backdrops=BACKDROPS),
    "cheetah": SubjectKind(0.34, 2.1, ("still", "left", "right"), 1, True, (), backdrops=_LAND),
    "hover_car": SubjectKind(0.23, 2.5, ("still", "left", "right", "rise", "drift"), 3, floats=True, backdrops=_OPEN),
    NO_SUBJECT: SubjectKind(0.3, 1.0, ("still",), 1, True, (), backdrops=BACKDROPS[1:], frequency=0.5),
}
