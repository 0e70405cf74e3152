"""Puts the subjects of a view into its picture: folding of groups, shadow, soft relief, coloured light, rim, glow.

Knows where subjects are (`view.place_subjects`) and how each is painted (`DRAWERS`); knows no backdrop or weather.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training import subjects_living, subjects_things
from training.attributes import NO_SUBJECT
from training.raster import Figure, coverage, noise, over, rgb, smoothstep, wrap
from training.scene import Scene, is_airborne, is_ashore
from training.view import Placement, View, place_subjects, subject_colour

MOVES = ("left", "right")
RELIEF: dict[str, float] = {
    "Clay Stop Motion": 2.0, "3D Render": 1.9, "Paper Cut": 0.0, "Chinese Ink Wash": 0.5, "Pixel Art": 0.0,
    "Anime Studio Ghibli": 0.6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawer:
    """How one pose is painted.

    Attributes:
        paint: paints a `Figure`.
        gait: radians of its cycle for each own height that it goes.
        sways: whether the cycle starts at the scene's own phase (a box would stand askew).
    """

    paint: Callable[[Figure], None]
    gait: float = 0.0
    sways: bool = True


DRAWERS: dict[str, Drawer] = {
    "ball": Drawer(subjects_things.ball, -2.0),
    "box": Drawer(subjects_things.crate, sways=False),
    "balloon": Drawer(subjects_things.balloon),
    "car": Drawer(subjects_things.car, -4.4),
    "boat": Drawer(subjects_things.boat),
    "lantern": Drawer(subjects_things.lantern),
    "hover_car": Drawer(subjects_things.hover_car),
    "tree": Drawer(subjects_things.tree),
    "pine": Drawer(subjects_things.pine),
    "bird/still": Drawer(subjects_living.bird_standing),
    "bird/moving": Drawer(subjects_living.bird_flying),
    "cat/still": Drawer(subjects_living.cat_sitting),
    "cat/moving": Drawer(subjects_living.cat_walking, 6.5),
    "mechanical_cat/still": Drawer(subjects_living.mechanical_cat_sitting),
    "mechanical_cat/moving": Drawer(subjects_living.mechanical_cat_walking, 6.5),
    "cheetah/still": Drawer(subjects_living.cheetah_lying),
    "cheetah/moving": Drawer(subjects_living.cheetah_running, 3.4),
    "girl": Drawer(subjects_living.girl, 5.5),
}


def pose(scene: Scene) -> str:
    """Key of the drawer for a scene's subject and motion, or "" where there is no subject."""
    if scene.subject == NO_SUBJECT:
        return ""
    if scene.subject in DRAWERS:
        return scene.subject
    moving = scene.motion in MOVES or is_airborne(scene)
    return f"{scene.subject}/{'moving' if moving else 'still'}"


def draw_subjects(view: View, image: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the subjects of clips that share one pose.

    Args:
        image: the backdrop, [B, 3, F, H, W].

    Returns:
        The image with the subjects in it, and the distance to them in world units, [B, F, H, W] (negative inside).
    """
    drawer = DRAWERS[pose(view.scenes[0])]
    place = place_subjects(view)
    u, v, member = _fold(view, place)
    image = _shadow(view, place, image, u)
    figure = _figure(view, place, drawer, u, v, member)
    drawer.paint(figure)
    assert figure.outline is not None
    distance = figure.outline * place.unit
    alpha = coverage(distance, view.px / view.zoom)
    light, rim = _light(view, distance, place)
    painted = figure.image * light
    painted = painted + rim * (1.0 - 0.35 * painted)
    image = torch.lerp(*torch.broadcast_tensors(image, painted, alpha.unsqueeze(1)))
    if figure.glow is not None:
        image = image + figure.glow * (1.0 - image) * view.by_time_number(0.75, 1.0, 1.2).unsqueeze(1)
    return image.clamp(0.0, 1.0), distance


def _fold(view: View, place: Placement) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates of the nearest member of the group, relative to its feet, and which member it is (0 to 4)."""
    across = wrap(view.x - place.x, place.period_x)
    shift = 0.5 * (place.count - 1.0)
    member = torch.minimum(torch.round(across / place.spacing + shift).clamp_min(0.0), place.count - 1.0)
    u = across - (member - shift) * place.spacing
    uneven = (place.count > 1.5).float() * place.stagger
    room = (0.5 * view.height - place.y - place.unit * 1.05).clamp(0.0, 0.12) + 0.06
    lift = uneven * (noise(member, view.seed, 3.0) - 0.5) * room
    middle = 0.5 * place.unit
    v = wrap(view.y - place.y - lift - middle, torch.maximum(place.period_y, 2.4 * place.unit)) + middle
    return u, v, member


def _figure(view: View, place: Placement, drawer: Drawer, u: Tensor, v: Tensor, member: Tensor) -> Figure:
    phase = view.numbers(lambda scene: 2.0 * math.pi * scene.phase * drawer.sways)
    stride = drawer.gait * place.distance + phase + place.roll + 2.1 * member * drawer.sways
    x = u / (place.unit * place.turn)
    y = v / (place.unit * place.squash)
    px = view.px / (view.zoom * place.unit)
    going = view.flags(lambda scene: scene.motion in MOVES)
    return Figure(x, y, view.t, stride, going, px, view.colours(subject_colour))


def _shadow(view: View, place: Placement, image: Tensor, u: Tensor) -> Tensor:
    """A soft shadow on the ground, weaker the higher the subject; on wet or glossy ground also its colour."""
    height = (place.y - place.shadow_y).clamp_min(0.0)
    wide = place.unit * (place.spacing / place.unit / 1.12) * 0.46 * (1.0 + 0.5 * height)
    v = view.y - place.shadow_y - 0.01
    flat = (u / wide) ** 2 + (v / (0.16 * wide.clamp(0.12, 0.4) + 0.010)) ** 2
    strength = view.numbers(lambda scene: 0.16 if scene.scene == "sea" and not is_ashore(scene) else 0.42)
    strength = strength * view.by_time_number(1.0, 0.9, 1.0) * torch.exp(-2.6 * height)
    image = image * (1.0 - strength * torch.exp(-1.4 * flat)).unsqueeze(1)
    wet = view.numbers(_gloss)
    if all(_gloss(scene) == 0.0 for scene in view.scenes):
        return image
    below = (place.shadow_y - view.y).clamp_min(0.0)
    mirror = torch.exp(-2.0 * (u / wide) ** 2 - below / (0.5 * place.unit)) * smoothstep(0.0, 0.03, below)
    return over(image, view.colours(subject_colour), 0.45 * wet * mirror * torch.exp(-1.5 * height))


def _gloss(scene: Scene) -> float:
    wet = scene.scene in ("tokyo_street", "future_city") and (scene.weather == "rain" or scene.time_of_day == "night")
    return max(
        float(wet),
        0.8 if scene.style == "3D Render" else 0.0,
        0.7 if scene.scene == "sea" and not is_ashore(scene) else 0.0,
    )


def _light(view: View, distance: Tensor, place: Placement) -> tuple[Tensor, Tensor]:
    """Factor on the painted colour, [B, 3, F, H, W], and the light of the rim to add to it."""
    width = 0.16 * place.unit
    inner = (distance / width).clamp(-1.0, 0.0)
    bulge = torch.sin(0.5 * math.pi * (inner + 1.0))
    scale = 0.5 / view.pixel
    gx = torch.zeros_like(distance)
    gy = torch.zeros_like(distance)
    gx[..., 1:-1] = (distance[..., 2:] - distance[..., :-2]) * scale
    gy[..., 1:-1, :] = (distance[..., :-2, :] - distance[..., 2:, :]) * scale
    gx, gy = gx.clamp(-1.0, 1.0), gy.clamp(-1.0, 1.0)
    relief = view.numbers(lambda scene: RELIEF.get(scene.style, 1.0))
    slope = bulge * (-0.45 * gx + 0.85 * gy)
    shade = 1.0 + 0.17 * relief * slope
    ambient = view.colours(_ambient)
    factor = ambient * shade.unsqueeze(1)

    edge = smoothstep(-0.11 * place.unit, 0.0, distance)
    edge = edge * edge
    back = view.flags(lambda scene: scene.light == "backlight") * edge * (0.35 + 0.65 * gy.clamp(0.0, 1.0))
    rim = back.unsqueeze(1) * rgb((1.0, 0.78, 0.32), distance)
    neon = view.flags(lambda scene: scene.light == "neon") * edge * 0.85
    rim = rim + (neon * gx.clamp_min(0.0)).unsqueeze(1) * rgb((0.1, 0.9, 1.0), distance)
    rim = rim + (neon * (-gx).clamp_min(0.0)).unsqueeze(1) * rgb((1.0, 0.15, 0.75), distance)
    gloss = view.flags(lambda scene: scene.style == "3D Render")
    spot = smoothstep(0.62, 0.95, bulge * (-0.55 * gx + 0.80 * gy)) * smoothstep(0.0, -0.02, distance)
    return factor, rim + (0.55 * gloss * spot).unsqueeze(1)


def _ambient(scene: Scene) -> tuple[float, float, float]:
    """Colour of the light that falls on the subject."""
    if scene.scene == "cafe":
        return {"day": (1.0, 0.97, 0.92), "dusk": (1.0, 0.90, 0.78), "night": (0.95, 0.82, 0.68)}[scene.time_of_day]
    colour = {"day": (1.0, 1.0, 1.0), "dusk": (1.0, 0.88, 0.80), "night": (0.74, 0.78, 0.94)}[scene.time_of_day]
    if scene.light == "backlight":
        return colour[0] * 0.86, colour[1] * 0.82, colour[2] * 0.80
    return colour
