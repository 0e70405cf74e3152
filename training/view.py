"""Clips as tensors, and the coordinates in which they are drawn.

Owns the change from scenes (plain values) to per-clip tensors, where subject and camera are at each time, and the grid
of pixel centres. World lengths: the frame's shorter side is 1, the origin is its centre, y points up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.attributes import NATURAL, SUBJECTS, TIMES_OF_DAY
from training.scene import SIZE_FACTORS, Scene, is_airborne

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.89, 0.13, 0.13),
    "orange": (0.98, 0.52, 0.08),
    "yellow": (0.98, 0.85, 0.16),
    "green": (0.16, 0.68, 0.25),
    "cyan": (0.10, 0.78, 0.80),
    "blue": (0.14, 0.32, 0.90),
    "purple": (0.54, 0.20, 0.76),
    "pink": (0.98, 0.52, 0.70),
    "brown": (0.50, 0.30, 0.16),
    "white": (0.95, 0.95, 0.94),
    "black": (0.13, 0.13, 0.15),
    "grey": (0.55, 0.56, 0.58),
    "steel": (0.37, 0.52, 0.56),
}
NATURAL_COLOURS: dict[str, tuple[float, float, float]] = {
    "cheetah": (0.91, 0.66, 0.30),
    "tree": (0.27, 0.60, 0.24),
    "pine": (0.13, 0.44, 0.30),
    "none": (0.5, 0.5, 0.5),
}
FEET: dict[str, float] = {"cafe": -0.24, "sea": -0.31, "cliff": -0.27}  # in frame heights; others stand at -0.31
FEET_ELSEWHERE = -0.31
STOP_MOTION_FPS = 12.0
WOBBLE: dict[str, float] = {
    "Oil Painting": 0.005,
    "Watercolor": 0.0045,
    "Chinese Ink Wash": 0.004,
    "Clay Stop Motion": 0.002,
}


@dataclass(frozen=True, slots=True)
class View:
    """Clips that are drawn together.

    Attributes:
        scenes: B scenes.
        t: seconds [B, F, 1, 1].
        x, y: pixel centres through the camera's zoom, broadcasting to [B, F, H, W].
        sx, sy: pixel centres on the screen, [1 or B, 1, 1, W] and [1 or B, 1, H, 1].
        px: size of a pixel, [B, 1, 1, 1] (nearly 0 where edges shall be hard).
        pixel: true size of a pixel in world units.
        width, height: of the frame in world units (the shorter one is 1).
        pan: how far the camera has moved to the right, [B, F, 1, 1].
        zoom: magnification, [B, F, 1, 1].
        seed, tint: per clip, [B, 1, 1, 1].
    """

    scenes: tuple[Scene, ...]
    t: Tensor
    x: Tensor
    y: Tensor
    sx: Tensor
    sy: Tensor
    px: Tensor
    pixel: float
    width: float
    height: float
    pan: Tensor
    zoom: Tensor
    seed: Tensor
    tint: Tensor

    def numbers(self, of: Callable[[Scene], float]) -> Tensor:
        """One number a clip, [B, 1, 1, 1]."""
        return torch.tensor([float(of(scene)) for scene in self.scenes], device=self.t.device).view(-1, 1, 1, 1)

    def flags(self, of: Callable[[Scene], bool]) -> Tensor:
        """1.0 where it holds and 0.0 where not, [B, 1, 1, 1]."""
        return self.numbers(of)

    def colours(self, of: Callable[[Scene], tuple[float, float, float]]) -> Tensor:
        """One colour a clip, [B, 3, 1, 1, 1]."""
        return torch.tensor([of(scene) for scene in self.scenes], device=self.t.device).view(-1, 3, 1, 1, 1)

    def by_time(self, *colours: tuple[float, float, float]) -> Tensor:
        """One colour a clip by its time of day: day, dusk, night. [B, 3, 1, 1, 1]."""
        return self.colours(lambda scene: colours[TIMES_OF_DAY.index(scene.time_of_day)])

    def by_time_number(self, *values: float) -> Tensor:
        """One number a clip by its time of day: day, dusk, night. [B, 1, 1, 1]."""
        return self.numbers(lambda scene: values[TIMES_OF_DAY.index(scene.time_of_day)])

    def feet(self) -> Tensor:
        """Height of the line on which subjects stand, [B, 1, 1, 1]."""
        return self.numbers(lambda scene: FEET.get(scene.scene, FEET_ELSEWHERE)) * self.height


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the subjects of a view are. All [B, F, 1, 1] or [B, 1, 1, 1].

    Attributes:
        x, y: of the feet of the group's middle.
        shadow_y: of the ground below.
        unit: height of the subject.
        spacing: distance between neighbours of a group.
        period_x, period_y: after which the world repeats itself across the frame.
        count: 1 to 5.
        turn: cosine of the turn about the vertical axis, with the sign of the facing.
        roll: radians of an in-plane turn by itself.
        distance: that the subject has gone, in its own heights.
        squash: factor on the height.
        stagger: 1 where members of a group hover at different heights.
    """

    x: Tensor
    y: Tensor
    shadow_y: Tensor
    unit: Tensor
    spacing: Tensor
    period_x: Tensor
    period_y: Tensor
    count: Tensor
    turn: Tensor
    roll: Tensor
    distance: Tensor
    squash: Tensor
    stagger: Tensor


def subject_colour(scene: Scene) -> tuple[float, float, float]:
    """The subject's own colour as RGB in [0, 1]."""
    return NATURAL_COLOURS[scene.subject] if scene.colour == NATURAL else PALETTE[scene.colour]


def make_view(scenes: Sequence[Scene], times: Tensor, height: int, width: int) -> View:
    """Lay out the coordinates of clips of one size. `times` [B, F] seconds, on the device to draw on."""
    scenes = tuple(scenes)
    device = times.device
    short = min(height, width)
    pixel = 1.0 / short
    columns = torch.arange(width, device=device, dtype=torch.float32).view(1, 1, 1, -1)
    rows = torch.arange(height, device=device, dtype=torch.float32).view(1, 1, -1, 1)
    t = times.float().view(len(scenes), -1, 1, 1)

    def per_clip(values: list[float]) -> Tensor:
        return torch.tensor(values, device=device).view(-1, 1, 1, 1)

    px = per_clip([pixel * (0.02 if scene.style == "Pixel Art" else 1.0) for scene in scenes])
    if any(scene.style == "Pixel Art" for scene in scenes):
        size = pixel_block(short)
        block = per_clip([float(size) if scene.style == "Pixel Art" else 1.0 for scene in scenes])
        columns = torch.floor(columns / block) * block + 0.5 * (block - 1.0)
        rows = torch.floor(rows / block) * block + 0.5 * (block - 1.0)
    if any(scene.style == "Clay Stop Motion" for scene in scenes):
        held = per_clip([float(scene.style == "Clay Stop Motion") for scene in scenes])
        t = torch.where(held > 0, torch.floor(t * STOP_MOTION_FPS + 1e-3) / STOP_MOTION_FPS, t)
    sx = (columns + 0.5 - width / 2) * pixel
    sy = -(rows + 0.5 - height / 2) * pixel
    seed = per_clip([float(scene.seed) for scene in scenes])
    zoom, pan = _camera(scenes, t, width * pixel, per_clip)
    focus = -0.1 * height * pixel
    aim = per_clip([0.0 if scene.motion in ("left", "right") else 0.5 * scene.x for scene in scenes])
    aim = aim * max(0.0, width * pixel - 0.5)
    x, y = (sx - aim) / zoom + aim, (sy - focus) / zoom + focus
    if any(scene.style in WOBBLE for scene in scenes):  # a brush does not follow a ruler
        amount = per_clip([WOBBLE.get(scene.style, 0.0) for scene in scenes])
        x, y = (
            x + amount * (torch.sin(23.0 * sy + 9.0 * sx + seed) + torch.sin(41.0 * sy - 17.0 * sx + 2.0 * seed)),
            y + amount * (torch.sin(21.0 * sx - 11.0 * sy + seed) + torch.sin(43.0 * sx + 19.0 * sy + 3.0 * seed)),
        )
    return View(
        scenes, t, x, y, sx, sy, px, pixel, width * pixel, height * pixel, pan, zoom, seed,
        per_clip([scene.tint for scene in scenes]),
    )  # fmt: skip


def pixel_block(short_side: int) -> int:
    """Size of a pixel-art block: about 54 on the shorter side, a power of two so that it fits the latent grid."""
    return 2 ** max(0, round(math.log2(short_side / 54)))


def _camera(
    scenes: tuple[Scene, ...], t: Tensor, frame_width: float, per_clip: Callable[[list[float]], Tensor]
) -> tuple[Tensor, Tensor]:
    push = per_clip([float(scene.camera == "push_in") for scene in scenes])
    zoom = 1.0 + push * 0.6 * (1.0 - torch.exp(-t / 4.0))
    phase = per_clip([2.0 * math.pi * scene.phase for scene in scenes])
    swing = per_clip([float(scene.camera == "pan") for scene in scenes])
    pan = swing * 0.22 * frame_width * torch.sin(0.8 * t + phase)
    follow = [scene.facing * scene.pace if scene.camera == "follow" else 0.0 for scene in scenes]
    return zoom, pan + per_clip(follow) * t * (frame_width + 0.6) / 8.0


def place_subjects(view: View) -> Placement:
    """Where the subjects are at each time."""
    kinds = [SUBJECTS[scene.subject] for scene in view.scenes]
    count = view.numbers(lambda scene: scene.count)
    unit = view.numbers(lambda scene: SUBJECTS[scene.subject].height * SIZE_FACTORS[scene.size] * scene.scale)
    aspect = torch.tensor([kind.width for kind in kinds], device=view.t.device).view(-1, 1, 1, 1)
    goes = {"left": -1.0, "right": 1.0}
    direction = view.numbers(lambda scene: goes.get(scene.motion, 0.0))
    room = torch.where(direction != 0, 0.62, 0.94) * view.width / (count * aspect * 1.12)
    feet = view.feet()
    airborne = view.flags(is_airborne)
    headroom = torch.where(airborne > 0, 0.66 * view.height, 0.46 * view.height - feet)
    unit = torch.minimum(torch.minimum(unit, room), headroom)
    spacing = unit * aspect * 1.12
    group = count * spacing
    period_x, period_y = view.width + group, view.height + 1.1 * unit
    ceiling = 0.5 * view.height - unit * 1.04
    low = feet + 0.10 * view.height
    y = torch.where(airborne > 0, low + (ceiling - low).clamp_min(0.0) * view.numbers(lambda scene: scene.lift), feet)

    pace = view.numbers(lambda scene: scene.pace) / 8.0
    phase = 2.0 * math.pi * view.numbers(lambda scene: scene.phase)
    follow = view.flags(lambda scene: scene.camera == "follow")
    start = view.numbers(lambda scene: scene.x) * (view.width - torch.where(direction != 0, 0.85 * group, group)) * 0.5
    on_ledge = view.flags(lambda scene: scene.scene == "cliff") * (1.0 - airborne)
    start = torch.where(on_ledge > 0, (0.45 * start - 0.07 * view.width) * cliff_side(view), start)
    travel = pace * view.t * torch.where(follow > 0, view.width + 0.6, period_x)
    x = start * (1.0 - 0.6 * follow) + direction * travel * (1.0 - follow)
    x = x - (1.0 - follow) * view.pan * view.flags(lambda scene: scene.camera == "pan")

    drift = view.flags(lambda scene: scene.motion == "drift")
    swing = torch.sin(2.0 * math.pi * 1.6 * pace * view.t + phase)
    x = x * (1.0 - 0.6 * drift) + drift * 0.5 * (view.width - group).clamp_min(0.2) * 0.8 * swing
    bob = airborne * 0.02 * torch.sin(1.7 * view.t + phase)
    y = y + bob + airborne * drift * 0.04 * torch.sin(2.3 * view.t + phase)
    rise = view.flags(lambda scene: scene.motion == "rise")
    y = low + (y - low) * (1.0 - 0.6 * rise) + rise * 0.65 * pace * view.t * period_y

    jump = view.flags(lambda scene: scene.motion == "jump")
    beat = torch.remainder(pace * 5.0 * view.t + phase / (2.0 * math.pi), 1.0)
    hop = 4.0 * beat * (1.0 - beat)
    head_room = (0.5 * view.height - feet - unit).clamp_min(0.06)
    y = y + jump * hop * torch.minimum(head_room, 0.62 * unit + 0.08)
    squash = 1.0 - jump * 0.16 * torch.exp(-hop * 7.0)

    spin = view.flags(lambda scene: scene.motion == "spin")
    angle = spin * (2.0 * math.pi * 2.4 * pace * view.t + phase)
    facing = view.numbers(lambda scene: scene.facing)
    rolls = view.flags(lambda scene: scene.subject in ("ball", "box"))
    cosine = torch.cos(angle)
    cosine = torch.where(cosine < 0, -1.0, 1.0) * cosine.abs().clamp_min(0.16)
    turn = facing * torch.where(spin * (1.0 - rolls) > 0, cosine, torch.ones_like(cosine))
    return Placement(
        x, y, feet.expand_as(y), unit, spacing, period_x, period_y, count, turn, -rolls * angle,
        (direction.abs() * travel) / unit, squash, airborne,
    )  # fmt: skip


def cliff_side(view: View) -> Tensor:
    """1 where a cliff falls off on the right, -1 on the left; [B, 1, 1, 1]."""
    return torch.where(torch.remainder(view.seed, 2.0) > 0.5, 1.0, -1.0)
