"""What a judge is asked about a second of video, and the true answer for a clip of the world.

Owns the heads with their classes, the frames that a judge looks at, and which question has no answer (a coat that has
no said colour, weather indoors, a subject that is outside the frame in that second). Does not know networks or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from training.attributes import (
    BACKDROPS,
    COLOURS,
    INDOOR,
    NATURAL,
    NO_STYLE,
    NO_SUBJECT,
    STYLES,
    SUBJECTS,
    TIMES_OF_DAY,
    WEATHERS,
)
from training.captions import FAST_PACE, SLOW_PACE
from training.scene import Scene
from training.view import make_view, place_subjects

FPS: Final = 24
FRAME_OFFSETS: Final = (0, 7, 14, 21)
"""Frames of a second at 24 frames a second that a judge sees, counted from the window's first."""
SPAN: Final = FRAME_OFFSETS[-1] + 1
"""Frames from a window's first to its last."""
WIDTH, HEIGHT = 192, 108
"""Size at which a judge sees them; any 16:9 picture is reduced to it."""

HEADS: Final[dict[str, tuple[str, ...]]] = {
    "subject": tuple(SUBJECTS),
    "colour": COLOURS,
    "count": ("1", "2", "3", "4", "5"),
    "scene": BACKDROPS,
    "time_of_day": TIMES_OF_DAY,
    "weather": WEATHERS,
    "direction": ("left", "right", "up", "none"),
    "speed": ("slow", "fast"),
    "style": (NO_STYLE, *STYLES),
}
UNDEFINED: Final = -1

_DIRECTIONS = {"left": "left", "right": "right", "rise": "up", "still": "none", "jump": "none", "spin": "none"}
_MIN_MEMBER = 0.6  # of one member must be in the frame for its kind and colour to be visible
_MIN_GROUP = 0.97  # of a group, for its number
_COARSE = (36, 64)  # a grid that is fine enough to find the frame's edges


def truth(scene: Scene) -> dict[str, str]:
    """What the scene says of each head; a head that it leaves undefined is absent.

    A subject that drifts goes to and fro, so it has no direction. Behind a camera that follows, a plain studio shows
    no movement at all.
    """
    said = {"subject": scene.subject, "scene": scene.scene, "time_of_day": scene.time_of_day, "style": scene.style}
    if scene.scene not in INDOOR:
        said["weather"] = scene.weather
    if scene.subject == NO_SUBJECT:
        return said
    said["count"] = str(scene.count)
    if scene.colour != NATURAL:
        said["colour"] = scene.colour
    if scene.motion in _DIRECTIONS and not (scene.camera == "follow" and scene.scene == "studio"):
        said["direction"] = _DIRECTIONS[scene.motion]
        if scene.motion in ("left", "right") and not SLOW_PACE <= scene.pace <= FAST_PACE:
            said["speed"] = "slow" if scene.pace < SLOW_PACE else "fast"
    return said


def labels(scenes: Sequence[Scene], times: Tensor) -> Tensor:
    """Class indices int8 [B, heads] in the order of `HEADS`, `UNDEFINED` where a head has no answer in these frames.

    Args:
        times: seconds [B, F] of the frames that the judge sees.
    """
    members, group = visible(scenes, times)
    rows = torch.full((len(scenes), len(HEADS)), UNDEFINED, dtype=torch.int8)
    for row, scene in enumerate(scenes):
        said = truth(scene)
        if scene.subject != NO_SUBJECT:
            if members[row] < _MIN_MEMBER:
                hidden = {"subject", "colour", "count", "direction", "speed"}
                said = {head: value for head, value in said.items() if head not in hidden}
            elif group[row] < _MIN_GROUP:
                said.pop("count", None)
        for column, (head, classes) in enumerate(HEADS.items()):
            if head in said:
                rows[row, column] = classes.index(said[head])
    return rows


def visible(scenes: Sequence[Scene], times: Tensor) -> tuple[Tensor, Tensor]:
    """How much is in the frame at the best of the times [B, F]: of one member of the group, and of the whole group.

    Returns:
        Two tensors [B], 0 to 1.
    """
    view = make_view(scenes, times.float().cpu(), *_COARSE)
    place = place_subjects(view)
    shape = view.t.shape
    across, up = view.x.mean(-2), view.y.mean(-1)  # a brush's wobble bends the edges
    left, right = across[..., 0, None, None], across[..., -1, None, None]
    bottom, top = up[..., -1, None, None], up[..., 0, None, None]
    centre = torch.remainder(place.x + 0.5 * place.period_x, place.period_x) - 0.5 * place.period_x
    half = 0.5 * place.count * place.spacing
    inside = (torch.minimum(centre + half, right) - torch.maximum(centre - half, left)).clamp_min(0.0) / (2 * half)
    low = torch.remainder(place.y + 0.5 * place.period_y, place.period_y) - 0.5 * place.period_y
    upright = (torch.minimum(low + place.unit, top) - torch.maximum(low, bottom)).clamp_min(0.0) / place.unit
    upright = upright.clamp(max=1.0)
    shares = ((part * upright).expand(shape).flatten(1) for part in ((inside * place.count).clamp(max=1.0), inside))
    members, group = (share.amax(1) for share in shares)
    return members, group
