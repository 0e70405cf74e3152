"""How things look: ball, box, balloon, car, boat, lantern, hover car, trees. Each paints a `Figure`, facing +x."""

from __future__ import annotations

import torch

from training.raster import (
    Figure,
    box,
    circle,
    cut,
    darker,
    ellipse,
    lighter,
    limb,
    polygon,
    ring,
    rotate,
    smoothstep,
    union,
)

INK = (0.10, 0.10, 0.13)
CHROME = (0.78, 0.81, 0.86)
GLASS = (0.62, 0.82, 0.93)
GOLD = (0.96, 0.76, 0.25)
WOOD = (0.47, 0.30, 0.18)
WHITE = (0.97, 0.97, 0.96)


def ball(f: Figure) -> None:
    """A beach ball with one pale band; it rolls as it goes."""
    d = circle(f.x, f.y, 0.0, 0.5, 0.5)
    f.part(d, f.colour)
    u, v = rotate(f.x, f.y - 0.5, f.stride)
    pale = f.colour.amin(1, keepdim=True) > 0.8
    band = torch.where(pale, darker(f.colour, 0.25), lighter(f.colour, 0.55))
    f.detail(cut(circle(u, v, 0.0, -0.62, 0.80), circle(u, v, 0.0, -0.62, 0.64)), band)
    f.detail(circle(u, v, 0.0, 0.30, 0.09), band)
    f.shade(_sphere(f))
    f.detail(ellipse(f.x, f.y, -0.17, 0.72, 0.12, 0.08, 0.6), WHITE, 0.55)


def crate(f: Figure) -> None:
    """A cube seen a little from above and from the side; it turns on its way."""
    u, v = rotate(f.x, f.y - 0.5, f.stride)
    front = box(u, v, -0.08, -0.08, 0.38, 0.38, 0.03)
    top = polygon(u, v, [(-0.46, 0.29), (0.30, 0.29), (0.46, 0.46), (-0.30, 0.46)])
    side = polygon(u, v, [(0.29, -0.46), (0.46, -0.28), (0.46, 0.46), (0.29, 0.30)])
    f.part(side, darker(f.colour, 0.38))
    f.part(top, lighter(f.colour, 0.38))
    f.part(front, f.colour)
    f.detail(ring(box(u, v, -0.08, -0.08, 0.27, 0.27, 0.02), 0.05), darker(f.colour, 0.16))


def balloon(f: Figure) -> None:
    """A balloon whose string sways below it."""
    sway = 0.05 * torch.sin(2.2 * f.t + f.stride + 7.0 * f.y)
    f.part(box(f.x + sway * (0.45 - f.y).clamp_min(0.0) * 3.0, f.y, 0.0, 0.2, 0.011, 0.2), (0.55, 0.52, 0.50))
    f.part(polygon(f.x, f.y, [(-0.06, 0.37), (0.06, 0.37), (0.0, 0.46)]), darker(f.colour, 0.2))
    lower = (0.70 - f.y).clamp_min(0.0)
    body = ellipse(f.x * (1.0 + 0.9 * lower * lower), f.y, 0.0, 0.70, 0.27, 0.30)
    f.part(body, f.colour)
    f.shade(0.30 * smoothstep(0.35, 1.0, f.y - 0.5 * f.x) - 0.18)
    f.detail(ellipse(f.x, f.y, -0.10, 0.84, 0.055, 0.09, -0.4), WHITE, 0.65)


def car(f: Figure) -> None:
    """A small round car from the side."""
    f.part(box(f.x, f.y, 0.0, 0.42, 1.05, 0.23, 0.16), f.colour)
    f.part(polygon(f.x, f.y, [(-0.66, 0.55), (0.58, 0.55), (0.22, 0.93), (-0.46, 0.93)], 0.06), f.colour)
    f.shade(0.25 * smoothstep(0.3, 0.95, f.y) - 0.12)
    f.detail(polygon(f.x, f.y, [(-0.54, 0.62), (-0.11, 0.62), (-0.11, 0.88), (-0.40, 0.88)], 0.02), GLASS)
    f.detail(polygon(f.x, f.y, [(-0.02, 0.62), (0.44, 0.62), (0.18, 0.88), (-0.02, 0.88)], 0.02), GLASS)
    f.detail(box(f.x, f.y, 0.0, 0.30, 1.05, 0.025), darker(f.colour, 0.3))
    f.part(ellipse(f.x, f.y, 0.99, 0.47, 0.08, 0.10), (1.0, 0.93, 0.62))
    f.part(box(f.x, f.y, -1.02, 0.47, 0.05, 0.08, 0.03), (0.85, 0.12, 0.10))
    for cx in (-0.58, 0.60):
        f.part(circle(f.x, f.y, cx, 0.22, 0.225), INK)
        u, v = rotate(f.x - cx, f.y - 0.22, f.stride)
        f.detail(circle(u, v, 0.0, 0.0, 0.12), CHROME)
        f.detail(union(box(u, v, 0.0, 0.0, 0.12, 0.025), box(u, v, 0.0, 0.0, 0.025, 0.12)), (0.35, 0.37, 0.42))


def hover_car(f: Figure) -> None:
    """A sleek car without wheels that rides on cold light."""
    flicker = 0.85 + 0.15 * torch.sin(9.0 * f.t + f.stride)
    under = torch.exp(-((f.x / 0.95) ** 2) - ((f.y - 0.08) / 0.13) ** 2)
    f.shine(0.75 * flicker * under, (0.25, 0.85, 1.0))
    trail = torch.exp(-(((f.y - 0.40) / 0.10) ** 2)) * smoothstep(-2.0, -1.0, f.x) * (f.x < -0.9)
    f.shine(0.5 * trail * f.going, (1.0, 0.35, 0.45))
    f.part(polygon(f.x, f.y, [(-0.52, 0.58), (0.50, 0.55), (0.12, 0.92), (-0.30, 0.92)], 0.05), GLASS)
    f.detail(box(f.x, f.y, -0.08, 0.74, 0.03, 0.3), f.colour)
    wedge = polygon(
        f.x, f.y, [(-1.12, 0.36), (-0.90, 0.20), (0.95, 0.20), (1.18, 0.36), (0.72, 0.62), (-1.02, 0.66)], 0.04
    )
    f.part(wedge, f.colour)
    f.shade(0.3 * smoothstep(0.2, 0.7, f.y) - 0.15)
    f.part(
        polygon(f.x, f.y, [(-1.18, 0.62), (-0.82, 0.62), (-1.04, 0.92), (-1.22, 0.92)], 0.02), darker(f.colour, 0.25)
    )
    f.detail(box(f.x, f.y, 0.0, 0.38, 1.1, 0.03), (0.55, 0.97, 1.0))
    f.part(box(f.x, f.y, 0.0, 0.16, 0.72, 0.045, 0.04), (0.55, 0.97, 1.0))
    f.detail(ellipse(f.x, f.y, 1.05, 0.42, 0.13, 0.06), (1.0, 0.97, 0.8))
    f.detail(ellipse(f.x, f.y, -1.08, 0.42, 0.07, 0.06), (1.0, 0.2, 0.25))


def boat(f: Figure) -> None:
    """A sailing boat that rocks a little."""
    x, y = rotate(f.x, f.y - 0.1, 0.05 * torch.sin(1.9 * f.t + f.stride))
    f.part(box(x, y, 0.02, 0.50, 0.016, 0.40), WOOD)
    f.part(polygon(x, y, [(0.06, 0.26), (0.48, 0.26), (0.06, 0.84)], 0.01), WHITE)
    f.part(polygon(x, y, [(-0.03, 0.24), (-0.03, 0.72), (-0.38, 0.24)], 0.01), (0.93, 0.91, 0.87))
    f.part(polygon(x, y, [(0.02, 0.80), (0.02, 0.90), (-0.16, 0.85)]), f.colour)
    f.detail(polygon(x, y, [(0.06, 0.40), (0.48, 0.40), (0.48, 0.50), (0.06, 0.50)]), f.colour)
    hull = polygon(x, y, [(-0.42, -0.08), (0.42, -0.08), (0.62, 0.20), (-0.56, 0.20)], 0.02)
    f.part(hull, f.colour)
    f.shade(0.12 * smoothstep(-0.1, 0.8, y) - 0.06)
    f.detail(box(x, y, 0.0, 0.155, 0.7, 0.028), WHITE)


def lantern(f: Figure) -> None:
    """A round paper lantern with gold caps and a tassel, lit from inside."""
    x, y = rotate(f.x, f.y - 1.0, 0.07 * torch.sin(1.7 * f.t + f.stride))
    y = y + 1.0
    halo = torch.exp(-4.0 * ((x / 0.75) ** 2 + ((y - 0.60) / 0.7) ** 2))
    f.shine(0.45 * halo, (1.0, 0.62, 0.25))
    for cx in (-0.05, 0.0, 0.05):
        lag = 0.05 * torch.sin(1.7 * f.t + f.stride - 1.0) * (0.3 - y).clamp_min(0.0) * 4.0
        f.part(limb(x - lag, y, cx, 0.30, cx * 1.3, 0.02, 0.02), (0.93, 0.66, 0.20))
    f.part(box(x, y, 0.0, 0.95, 0.012, 0.06), WOOD)
    f.part(ellipse(x, y, 0.0, 0.60, 0.36, 0.27), f.colour)
    f.shade(0.34 * torch.exp(-6.0 * (x * x + (y - 0.58) ** 2)) - 0.06)
    for rx in (0.13, 0.26):
        f.detail(ring(ellipse(x, y, 0.0, 0.60, rx, 0.275), 0.018), darker(f.colour, 0.22))
    f.part(box(x, y, 0.0, 0.87, 0.15, 0.035, 0.015), GOLD)
    f.part(box(x, y, 0.0, 0.33, 0.15, 0.035, 0.015), GOLD)


def tree(f: Figure) -> None:
    """A broad tree whose crown moves in the wind."""
    wind = 0.02 * torch.sin(1.3 * f.t + f.stride)
    f.part(polygon(f.x, f.y, [(-0.075, 0.0), (0.075, 0.0), (0.045, 0.5), (-0.045, 0.5)]), WOOD)
    f.detail(box(f.x, f.y, 0.05, 0.25, 0.03, 0.3), (0.36, 0.22, 0.13))
    x = f.x + wind * f.y
    crown = union(
        circle(x, f.y, -0.18, 0.56, 0.20), circle(x, f.y, 0.19, 0.58, 0.19), circle(x, f.y, 0.0, 0.74, 0.25)
    )  # fmt: skip
    f.part(crown, f.colour)
    f.detail(union(circle(x, f.y, -0.24, 0.63, 0.10), circle(x, f.y, -0.06, 0.84, 0.13)), lighter(f.colour, 0.22))
    f.detail(union(ellipse(x, f.y, 0.10, 0.50, 0.22, 0.08), circle(x, f.y, 0.24, 0.55, 0.10)), darker(f.colour, 0.2))


def pine(f: Figure) -> None:
    """A pine of three storeys."""
    wind = 0.02 * torch.sin(1.3 * f.t + f.stride)
    f.part(box(f.x, f.y, 0.0, 0.12, 0.045, 0.12), WOOD)
    for base, half, top, tone in ((0.16, 0.30, 0.56, 0.24), (0.38, 0.24, 0.76, 0.12), (0.58, 0.18, 0.99, 0.0)):
        x = f.x + wind * base
        f.part(polygon(x, f.y, [(-half, base), (half, base), (0.0, top)], 0.012), darker(f.colour, tone))
        lit = polygon(x, f.y, [(-half, base), (-0.35 * half, base), (0.0, top)])
        f.detail(lit, lighter(darker(f.colour, tone), 0.16))


def _sphere(f: Figure) -> torch.Tensor:
    """Light on a ball that comes from above on the left."""
    u, v = f.x * 2.0, (f.y - 0.5) * 2.0
    height = (1.0 - u * u - v * v).clamp_min(0.0).sqrt()
    return 0.62 * (-0.42 * u + 0.58 * v + 0.70 * height) - 0.36
