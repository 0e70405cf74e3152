"""How living things look: bird, cat (and its mechanical cousin), cheetah, girl. Each paints a `Figure` facing +x."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from training.raster import (
    Figure,
    Value,
    box,
    circle,
    darker,
    ellipse,
    lighter,
    limb,
    polygon,
    rgb,
    ring,
    union,
)

INK = (0.09, 0.08, 0.11)
WHITE = (0.97, 0.97, 0.96)
SKIN = (0.98, 0.82, 0.70)
BEAK = (0.97, 0.66, 0.16)
CYAN = (0.35, 0.95, 1.0)
STEEL = (0.47, 0.53, 0.58)
TAWNY = (0.91, 0.66, 0.30)


def bird_flying(f: Figure) -> None:
    """A bird in the air, wings beating three times a second."""
    beat = torch.sin(16.0 * f.t + f.stride)
    f.part(
        polygon(f.x, f.y, [(-0.42, 0.40), (-0.30, 0.50), (-0.74, 0.66), (-0.80, 0.46)], 0.02), darker(f.colour, 0.22)
    )
    f.part(_wing(f, -0.04, 0.58, beat * 0.9 + 0.25, 0.46), darker(f.colour, 0.32))
    f.part(ellipse(f.x, f.y, 0.0, 0.48, 0.46, 0.20, 0.06), f.colour)
    f.part(circle(f.x, f.y, 0.40, 0.60, 0.17), f.colour)
    f.part(polygon(f.x, f.y, [(0.54, 0.54), (0.78, 0.58), (0.54, 0.66)], 0.01), BEAK)
    f.detail(ellipse(f.x, f.y, 0.08, 0.36, 0.34, 0.12, 0.06), lighter(f.colour, 0.5))
    f.part(_wing(f, 0.0, 0.56, beat, 0.56), darker(f.colour, 0.14))
    _eye(f, 0.45, 0.63, 0.042)


def bird_standing(f: Figure) -> None:
    """A bird on the ground that nods now and then."""
    nod = 0.03 * torch.sin(3.0 * f.t + f.stride).clamp_min(0.0)
    for cx in (-0.05, 0.10):
        f.part(limb(f.x, f.y, cx, 0.22, cx + 0.02, 0.02, 0.022), BEAK)
    f.part(
        polygon(f.x, f.y, [(-0.36, 0.30), (-0.24, 0.44), (-0.74, 0.34), (-0.72, 0.22)], 0.02), darker(f.colour, 0.25)
    )
    f.part(ellipse(f.x, f.y, 0.0, 0.45, 0.42, 0.27, 0.35), f.colour)
    f.part(circle(f.x, f.y, 0.28, 0.76 - nod, 0.19), f.colour)
    f.part(polygon(f.x, f.y, [(0.44, 0.69 - nod), (0.68, 0.73 - nod), (0.44, 0.81 - nod)], 0.01), BEAK)
    f.detail(ellipse(f.x, f.y, 0.20, 0.38, 0.22, 0.20, 0.35), lighter(f.colour, 0.5))
    f.part(ellipse(f.x, f.y, -0.13, 0.47, 0.32, 0.15, 0.35), darker(f.colour, 0.18))
    _eye(f, 0.34, 0.80 - nod, 0.042)


def cat_walking(f: Figure) -> None:
    """A cat that walks."""
    _walking_cat(f, machine=False)


def cat_sitting(f: Figure) -> None:
    """A cat that sits and moves its tail."""
    _sitting_cat(f, machine=False)


def mechanical_cat_walking(f: Figure) -> None:
    """A cat of metal plates that walks."""
    _walking_cat(f, machine=True)


def mechanical_cat_sitting(f: Figure) -> None:
    """A cat of metal plates that sits."""
    _sitting_cat(f, machine=True)


def cheetah_running(f: Figure) -> None:
    """A cheetah at a gallop."""
    coat = rgb_of(f, TAWNY)
    reach = torch.sin(f.stride)
    hop = 0.05 * torch.cos(f.stride)
    x, y = f.x, f.y - hop
    _tail(f, x, y, [(-0.62, 0.62), (-0.84, 0.70), (-1.02, 0.60)], 0.045, coat, TAWNY, INK)
    for hip, side, tone in ((-0.50, 0.35, 0.2), (0.46, 0.35, 0.2), (-0.50, 0.0, 0.0), (0.46, 0.0, 0.0)):
        swing = torch.sin(f.stride + side + (math.pi if hip > 0 else 0.0))
        foot = hip + 0.38 * swing
        knee = hip + 0.20 * swing + (0.08 if hip > 0 else -0.06)
        f.part(limb(x, y, hip, 0.55, knee, 0.30, 0.11, 0.06), darker(coat, tone))
        f.part(limb(x, y, knee, 0.30, foot, 0.08, 0.06, 0.04), darker(coat, tone))
    body = union(
        ellipse(x, y, 0.40, 0.60, 0.26, 0.19), ellipse(x, y, -0.42, 0.60, 0.26, 0.18),
        ellipse(x, y, 0.0, 0.60, 0.55, 0.15),
    )  # fmt: skip
    f.part(body, coat)
    f.detail(ellipse(x, y, 0.08, 0.47, 0.5, 0.07), lighter(coat, 0.55))
    _spots(f, x, y, union(ellipse(x, y, 0.0, 0.66, 0.64, 0.13), ellipse(x, y, -0.45, 0.60, 0.2, 0.16)))
    f.part(limb(x, y, 0.52, 0.66, 0.74, 0.78 + 0.03 * reach, 0.12, 0.09), coat)
    _cheetah_head(f, x, y, 0.84, 0.83, coat)


def cheetah_lying(f: Figure) -> None:
    """A cheetah that lies and breathes."""
    coat = rgb_of(f, TAWNY)
    breath = 0.012 * torch.sin(2.0 * f.t + f.stride)
    x, y = f.x, f.y
    tip = 0.22 + 0.12 * torch.sin(1.6 * f.t + f.stride)
    _tail(f, x, y, [(-0.70, 0.16), (-0.94, 0.12), (-1.10, tip)], 0.05, coat, TAWNY, INK)
    f.part(ellipse(x, y, -0.10, 0.27 + breath, 0.66, 0.23), coat)
    f.part(ellipse(x, y, 0.38, 0.33, 0.26, 0.25), coat)
    f.detail(ellipse(x, y, 0.0, 0.07, 0.7, 0.07), lighter(coat, 0.5))
    _spots(f, x, y, union(ellipse(x, y, -0.08, 0.34, 0.58, 0.15), ellipse(x, y, -0.45, 0.26, 0.26, 0.2)))
    f.part(ellipse(x, y, -0.44, 0.16, 0.27, 0.15, 0.2), coat)
    f.part(limb(x, y, -0.40, 0.06, -0.14, 0.055, 0.055), lighter(coat, 0.12))
    f.part(limb(x, y, 0.36, 0.10, 0.84, 0.06, 0.08, 0.055), lighter(coat, 0.12))
    f.part(limb(x, y, 0.44, 0.42, 0.60, 0.70, 0.16, 0.11), coat)
    _cheetah_head(f, x, y, 0.68, 0.78 + breath, coat)


def girl(f: Figure) -> None:
    """A girl in a hooded cloak; its hem moves in the wind."""
    wind = 0.05 * torch.sin(2.4 * f.t + f.stride + 5.0 * f.y)
    step = 0.07 * torch.sin(f.stride * 2.0) * f.going
    for cx, swing in ((-0.06, step), (0.06, -step)):
        f.part(limb(f.x, f.y, cx, 0.25, cx + swing, 0.06, 0.04), (0.30, 0.22, 0.22))
        f.part(ellipse(f.x, f.y, cx + swing + 0.02, 0.035, 0.07, 0.035), (0.28, 0.16, 0.12))
    low = (0.62 - f.y).clamp_min(0.0)
    x = f.x + (wind + 0.10 * f.going) * low * 1.6
    cloak = polygon(x, f.y, [(-0.30, 0.13), (0.24, 0.13), (0.13, 0.64), (-0.13, 0.64)], 0.035)
    f.part(cloak, f.colour)
    for cx in (-0.12, 0.04):
        f.detail(polygon(x, f.y, [(cx - 0.05, 0.0), (cx + 0.02, 0.0), (cx * 0.4 + 0.01, 0.60)]), darker(f.colour, 0.22))
    f.detail(box(x, f.y, 0.0, 0.13, 0.4, 0.022), lighter(f.colour, 0.3))
    f.part(polygon(f.x, f.y, [(-0.20, 0.66), (-0.02, 0.62), (0.02, 0.99), (-0.08, 0.97)], 0.02), darker(f.colour, 0.12))
    f.part(circle(f.x, f.y, 0.0, 0.79, 0.20), f.colour)
    f.detail(ellipse(f.x, f.y, 0.055, 0.775, 0.135, 0.15), (0.24, 0.15, 0.13))
    f.detail(ellipse(f.x, f.y, 0.075, 0.755, 0.112, 0.125), SKIN)
    f.detail(polygon(f.x, f.y, [(-0.08, 0.84), (0.20, 0.80), (0.20, 0.95), (-0.08, 0.95)]), (0.24, 0.15, 0.13))
    for cx in (0.045, 0.135):
        f.detail(ellipse(f.x, f.y, cx, 0.755, 0.014, 0.024), INK)
    f.detail(ring(circle(f.x, f.y, 0.0, 0.79, 0.20), 0.035), darker(f.colour, 0.2))
    f.detail(circle(f.x, f.y, 0.06, 0.615, 0.03), (0.96, 0.78, 0.30))


def rgb_of(f: Figure, colour: tuple[float, float, float]) -> Tensor:
    """A fixed colour in the shape of the subject's own."""
    return rgb(colour, f.colour).expand_as(f.colour)


def _eye(f: Figure, cx: float, cy: Tensor | float, radius: float) -> None:
    f.detail(circle(f.x, f.y, cx, cy, radius * 1.35), WHITE)
    f.detail(circle(f.x, f.y, cx + 0.01, cy, radius), INK)


def _wing(f: Figure, ax: float, ay: float, beat: Tensor, length: float) -> Tensor:
    """A wing from the shoulder at (ax, ay) whose tip goes up and down with `beat`."""
    root = limb(f.x, f.y, ax + 0.06, ay, ax - 0.14, ay, 0.09)
    return union(root, limb(f.x, f.y, ax - 0.02, ay, ax - 0.24, ay + length * beat, 0.13, 0.03))


def _spots(f: Figure, x: Tensor, y: Tensor, where: Tensor) -> None:
    """Dark spots in staggered rows."""
    row = torch.floor(y / 0.105)
    u = torch.remainder(x + 0.065 * torch.remainder(row, 2.0), 0.13) - 0.065
    v = y - (row + 0.5) * 0.105
    f.detail(torch.maximum(circle(u, v, 0.0, 0.0, 0.031), where), (0.22, 0.14, 0.09))


def _tail(
    f: Figure,
    x: Tensor,
    y: Tensor,
    points: Sequence[tuple[Value, Value]],
    radius: float,
    colour: Tensor,
    *tip: tuple[float, float, float],
) -> None:
    (ax, ay), (bx, by), (cx, cy) = points
    f.part(limb(x, y, ax, ay, bx, by, radius), colour)
    f.part(limb(x, y, bx, by, cx, cy, radius, radius * 0.85), colour)
    if tip:
        f.part(circle(x, y, cx, cy, radius), tip[-1])


def _cheetah_head(f: Figure, x: Tensor, y: Tensor, cx: float, cy: float | Tensor, coat: Tensor) -> None:
    for dx in (-0.09, 0.04):
        f.part(circle(x, y, cx + dx, cy + 0.115, 0.05), darker(coat, 0.25))
    f.part(circle(x, y, cx, cy, 0.145), coat)
    f.part(ellipse(x, y, cx + 0.12, cy - 0.045, 0.09, 0.07), lighter(coat, 0.6))
    f.part(circle(x, y, cx + 0.195, cy - 0.02, 0.03), INK)
    f.detail(limb(x, y, cx + 0.055, cy + 0.02, cx + 0.09, cy - 0.09, 0.014), INK)
    f.detail(circle(x, y, cx + 0.05, cy + 0.03, 0.03), INK)


def _walking_cat(f: Figure, *, machine: bool) -> None:
    main = f.colour
    x, y = f.x, f.y - 0.015 * torch.cos(2.0 * f.stride)
    curl = 0.10 * torch.sin(2.0 * f.t + f.stride)
    _tail(f, x, y, [(-0.46, 0.52), (-0.68, 0.72), (-0.64 + curl, 0.95)], 0.05, darker(main, 0.1))
    for hip, side, tone in ((-0.34, 0.0, 0.3), (0.30, math.pi, 0.3), (-0.34, math.pi, 0.0), (0.30, 0.0, 0.0)):
        swing = torch.sin(f.stride + side)
        lift = 0.07 * torch.cos(f.stride + side).clamp_min(0.0)
        foot, knee = hip + 0.17 * swing, hip + 0.08 * swing + 0.03
        f.part(limb(x, f.y, hip, 0.45, knee, 0.24, 0.10, 0.07), darker(main, tone))
        f.part(limb(x, f.y, knee, 0.24, foot, 0.055 + lift, 0.065, 0.055), darker(main, tone))
        if machine:
            f.detail(circle(x, f.y, knee, 0.24, 0.035), CYAN if tone == 0.0 else darker(main, 0.5))
    body = union(
        ellipse(x, y, -0.28, 0.50, 0.25, 0.20), ellipse(x, y, 0.0, 0.50, 0.40, 0.17), circle(x, y, 0.28, 0.52, 0.2)
    )
    f.part(body, main)
    if machine:
        for cx in (-0.30, -0.06, 0.18):
            f.detail(box(x, y, cx, 0.5, 0.012, 0.3), darker(main, 0.45))
        f.detail(box(x, y, 0.0, 0.47, 0.40, 0.02), CYAN)
    else:
        f.detail(ellipse(x, y, 0.0, 0.36, 0.42, 0.06), lighter(main, 0.5))
        for cx in (-0.30, -0.12, 0.06):
            f.detail(limb(x, y, cx, 0.72, cx - 0.04, 0.56, 0.022), darker(main, 0.25))
    _cat_head(f, x, y, 0.47, 0.76, machine=machine)


def _sitting_cat(f: Figure, *, machine: bool) -> None:
    main = f.colour
    x, y = f.x, f.y
    tip = 0.18 + 0.10 * torch.sin(2.0 * f.t + f.stride)
    _tail(f, x, y, [(-0.24, 0.09), (-0.46, 0.10), (-0.60, tip)], 0.055, darker(main, 0.1))
    f.part(ellipse(x, y, -0.12, 0.24, 0.28, 0.24), main)
    f.part(limb(x, y, -0.04, 0.26, 0.10, 0.55, 0.22, 0.15), main)
    f.detail(limb(x, y, 0.12, 0.30, 0.17, 0.50, 0.075), lighter(main, 0.5) if not machine else darker(main, 0.3))
    if machine:
        f.detail(circle(x, y, 0.08, 0.40, 0.055), CYAN)
        f.detail(ring(ellipse(x, y, -0.13, 0.20, 0.20, 0.17), 0.022), darker(main, 0.45))
    f.part(ellipse(x, y, -0.10, 0.045, 0.16, 0.05), darker(main, 0.12))
    for cx, tone in ((0.10, 0.18), (0.20, 0.0)):
        f.part(limb(x, y, cx, 0.40, cx + 0.02, 0.05, 0.06, 0.055), darker(main, tone))
    _cat_head(f, x, y, 0.18, 0.74, machine=machine)


def _cat_head(f: Figure, x: Tensor, y: Tensor, cx: float, cy: float, *, machine: bool) -> None:
    main = f.colour
    for side in (-1.0, 1.0):
        ear = [
            (cx + side * 0.115 - 0.085, cy + 0.10),
            (cx + side * 0.115 + 0.085, cy + 0.10),
            (cx + side * 0.165, cy + 0.30),
        ]
        f.part(polygon(x, y, ear, 0.01), main)
        inner = [(px * 0.5 + (cx + side * 0.13) * 0.5, py * 0.5 + (cy + 0.15) * 0.5) for px, py in ear]
        f.detail(polygon(x, y, inner), CYAN if machine else (0.95, 0.66, 0.66))
    f.part(ellipse(x, y, cx, cy, 0.225, 0.185), main)
    if machine:
        f.part(limb(x, y, cx - 0.02, cy + 0.18, cx - 0.06, cy + 0.32, 0.012), darker(main, 0.4))
        f.part(circle(x, y, cx - 0.06, cy + 0.33, 0.03), CYAN)
        f.detail(box(x, y, cx + 0.03, cy + 0.015, 0.16, 0.06, 0.04), INK)
        for dx in (-0.045, 0.105):
            f.detail(circle(x, y, cx + dx, cy + 0.015, 0.042), CYAN)
        f.detail(box(x, y, cx + 0.03, cy - 0.10, 0.08, 0.012), darker(main, 0.5))
        f.detail(limb(x, y, cx - 0.12, cy - 0.19, cx - 0.12, cy + 0.2, 0.01), darker(main, 0.4))
        return
    f.detail(ellipse(x, y, cx + 0.04, cy - 0.085, 0.10, 0.07), lighter(main, 0.6))
    for dx in (-0.06, 0.125):
        f.detail(ellipse(x, y, cx + dx, cy + 0.025, 0.046, 0.054), (0.97, 0.90, 0.50))
        f.detail(ellipse(x, y, cx + dx + 0.006, cy + 0.025, 0.027, 0.046), INK)
    f.detail(ellipse(x, y, cx + 0.045, cy - 0.045, 0.028, 0.02), (0.90, 0.45, 0.48))
