"""The English words of the captions: for each attribute value the ways in which a person would say it. Data only."""

from __future__ import annotations

NOUNS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "ball", "round ball", "sphere"),
    "box": ("box", "box", "cube", "crate"),
    "balloon": ("balloon",),
    "car": ("car", "car", "small car", "automobile"),
    "boat": ("boat", "sailboat", "sailing boat", "ship"),
    "bird": ("bird", "bird", "little bird"),
    "cat": ("cat", "cat", "kitten"),
    "mechanical_cat": ("mechanical cat", "robot cat", "robotic cat"),
    "tree": ("tree", "tree", "leafy tree"),
    "pine": ("pine", "pine tree", "fir tree"),
    "lantern": ("lantern", "paper lantern", "Chinese lantern"),
    "girl": ("girl", "girl", "young woman"),
    "cheetah": ("cheetah",),
    "hover_car": ("hover car", "flying car", "hovercar"),
}
PLURALS: dict[str, str] = {"young woman": "young women"}

COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "bright red", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow", "yellow", "golden yellow"),
    "green": ("green", "green", "bright green"),
    "cyan": ("cyan", "turquoise", "teal"),
    "blue": ("blue", "blue", "deep blue"),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "brown": ("brown",),
    "white": ("white", "white", "snow-white"),
    "black": ("black",),
    "grey": ("gray", "grey"),
    "steel": ("blue-gray", "steel gray", "bluish gray"),
}
NUMBERS: tuple[tuple[str, ...], ...] = (
    ("a", "a", "one"),
    ("two", "2", "a pair of"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
)
GROUPS: tuple[str, ...] = ("several", "a group of", "some")
SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "tiny", "little"),
    "medium": ("medium-sized",),
    "large": ("large", "big", "huge"),
}
SLOW: tuple[str, ...] = ("slowly", "gently")
FAST: tuple[str, ...] = ("fast", "quickly", "at high speed")

RIGHT: tuple[str, ...] = (
    "{v} from left to right", "{v} from left to right", "{v} to the right", "{v} right", "{v} rightwards",
    "{v} towards the right", "{v} from the left side to the right side",
)  # fmt: skip
VERBS: dict[str, tuple[str, ...]] = {
    "ball": ("rolling", "moving"),
    "box": ("sliding", "moving"),
    "balloon": ("floating", "moving", "drifting"),
    "car": ("driving", "moving"),
    "boat": ("sailing", "moving"),
    "bird": ("flying", "moving"),
    "cat": ("walking", "moving", "strolling"),
    "mechanical_cat": ("walking", "moving", "pacing"),
    "lantern": ("floating", "moving", "drifting"),
    "girl": ("walking", "moving", "strolling"),
    "cheetah": ("running", "sprinting", "moving"),
    "hover_car": ("flying", "speeding", "moving"),
}
STILL: dict[str, tuple[str, ...]] = {
    "bird": ("standing still", "perching"),
    "cat": ("sitting", "sitting still"),
    "mechanical_cat": ("sitting", "sitting still"),
    "girl": ("standing", "standing still"),
    "cheetah": ("lying down", "lying still", "resting"),
    "hover_car": ("hovering", "hovering in place"),
    "balloon": ("hovering in place", "not moving"),
    "car": ("parked", "standing still"),
    "boat": ("anchored", "lying still"),
    "tree": ("standing",),
    "pine": ("standing",),
    "lantern": ("hanging", "hanging still"),
}
STILL_ELSE: tuple[str, ...] = ("standing still", "not moving", "at rest")
JUMP: tuple[str, ...] = ("jumping", "jumping up and down", "hopping", "bouncing")
SPIN: tuple[str, ...] = ("spinning", "turning around", "rotating", "spinning in place")
RISE: tuple[str, ...] = ("rising", "rising into the sky", "floating up", "flying upwards", "moving up")
DRIFT: tuple[str, ...] = ("drifting", "floating back and forth", "swaying in the air", "drifting gently")

PLACES: dict[str, tuple[str, ...]] = {
    "studio": ("against a plain background", "in a studio", "in an empty room", "on a simple background"),
    "meadow": ("on a meadow", "on the grass", "in a green field", "on a grassland"),
    "snow_mountain": ("on a snowy mountain", "in the snowy mountains", "in front of snow mountains", "on a snow field"),
    "cliff": ("at the edge of a cliff", "on a snowy cliff", "at a mountain cliff"),
    "tokyo_street": (
        "on a Tokyo street", "in the streets of Tokyo", "at Shibuya crossing in Tokyo", "on a city street",
    ),
    "future_city": (
        "in a future city", "in a futuristic city", "between glass skyscrapers", "in New Shanghai in 2077",
        "among futuristic skyscrapers",
    ),
    "beach": ("on the beach", "by the sea", "at the seaside", "on a sandy beach"),
    "sea": ("on the sea", "on the ocean", "at sea", "on the water"),
    "forest": ("in a forest", "in the woods", "between the trees of a forest"),
    "desert": ("in the desert", "on desert dunes", "in a sandy desert"),
    "cafe": ("in a café", "in a cafe", "on the wooden bar of a café", "in a coffee shop"),
}  # fmt: skip
TIMES: dict[str, tuple[str, ...]] = {
    "day": ("by day", "in daylight", "at noon"),
    "dusk": ("at dusk", "at sunset", "in the evening glow"),
    "night": ("at night", "by night", "late at night"),
}
WEATHERS: dict[str, tuple[str, ...]] = {
    "clear": ("clear weather", "sunny"),
    "rain": ("in the rain", "rain", "raining", "heavy rain", "rainy"),
    "snow": ("in the snow", "snowing", "falling snow", "snowfall"),
    "fog": ("in the fog", "foggy", "misty", "thick fog"),
}
LIGHTS: dict[str, tuple[str, ...]] = {
    "soft": ("soft light", "natural light"),
    "backlight": ("backlight", "golden rim light", "backlit"),
    "neon": ("neon light", "neon lights", "lit by neon"),
}
CAMERAS: dict[str, tuple[str, ...]] = {
    "still": ("static camera", "fixed camera"),
    "pan": ("camera panning", "pan shot"),
    "push_in": ("camera pushes in", "zoom in", "push-in shot"),
    "follow": ("tracking shot", "camera follows"),
}
STYLES: dict[str, tuple[str, ...]] = {
    "Cinematic Realism": ("cinematic", "cinematic realism", "cinematic film still"),
    "Anime Studio Ghibli": ("anime style", "Studio Ghibli style", "Ghibli anime"),
    "Cyberpunk Neon": ("cyberpunk", "cyberpunk neon", "cyberpunk style"),
    "Oil Painting": ("oil painting", "oil painting style"),
    "Chinese Ink Wash": ("Chinese ink wash painting", "ink wash style", "ink painting"),
    "Watercolor": ("watercolor", "watercolor painting"),
    "Pixel Art": ("pixel art", "pixel art style"),
    "Clay Stop Motion": ("claymation", "clay stop motion", "clay animation"),
    "3D Render": ("3d render", "3d animation"),
    "Film Noir": ("film noir", "black and white film noir"),
    "Vintage 1950s Film": ("vintage 1950s film", "old film", "vintage film"),
    "Paper Cut": ("paper cut", "paper cut art", "layered paper art"),
}
QUALITY: tuple[str, ...] = (
    "masterpiece", "best quality", "highly detailed", "8K", "cinematic lighting", "4k", "sharp", "high quality",
)  # fmt: skip
OPENINGS: tuple[str, ...] = ("a video of", "a clip of", "footage of", "we see")
