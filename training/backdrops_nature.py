"""Backdrops under the open sky and the plain studio. Each paints a `View` and returns an image that broadcasts to it.

Layers go from far to near and scroll with the camera the slower the farther they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.raster import circle, coverage, noise, over, smoothstep, wrap
from training.scene import is_ashore
from training.view import View, cliff_side


def studio(view: View) -> Tensor:
    """A plain wall that runs into the floor without an edge."""
    shade = view.tint
    warm = torch.sin(view.seed)
    wall = view.by_time((0.86, 0.87, 0.89), (0.86, 0.70, 0.60), (0.20, 0.22, 0.31))
    fresh = torch.sin(2.7 * view.seed + 1.0)
    bias = 0.055 * torch.stack([warm, 0.4 * fresh, -warm], 1) * view.by_time_number(1.0, 0.7, 0.5).unsqueeze(1)
    wall = wall * (0.90 + 0.16 * shade).unsqueeze(1) + bias
    glow = 1.05 - 0.16 * ((view.x / view.width) ** 2 + ((view.y - 0.08) / view.height) ** 2) * 2.2
    floor = smoothstep(-0.16 * view.height, -0.23 * view.height, view.y)
    image = wall * glow.unsqueeze(1)
    image = torch.lerp(image, (wall * 0.90).expand_as(image), floor.unsqueeze(1))
    return image * (1.0 - 0.10 * smoothstep(-0.34 * view.height, -0.5 * view.height, view.y)).unsqueeze(1)


def meadow(view: View) -> Tensor:
    """Green hills under a wide sky."""
    image = sky(view)
    far = view.by_time((0.56, 0.76, 0.60), (0.62, 0.50, 0.46), (0.12, 0.19, 0.29))
    near = view.by_time((0.45, 0.72, 0.36), (0.52, 0.45, 0.28), (0.09, 0.18, 0.21))
    grass = view.by_time((0.40, 0.68, 0.27), (0.45, 0.44, 0.20), (0.07, 0.17, 0.16))
    image = over(image, far, _hill(view, -0.02, 0.07, 2.1, 0.15))
    image = over(image, near, _hill(view, -0.12, 0.05, 3.2, 0.35))
    image = over(image, grass, coverage(view.y + 0.19 * view.height, view.px))
    return _ground_shade(view, image, -0.19)


def snow_mountain(view: View) -> Tensor:
    """White peaks above a field of snow."""
    image = _peaks(view, sky(view))
    snow = view.by_time((0.92, 0.95, 0.99), (0.93, 0.80, 0.80), (0.36, 0.43, 0.60))
    image = over(image, snow * 0.93, _hill(view, -0.13, 0.035, 2.7, 0.4))
    image = over(image, snow, _hill(view, -0.22, 0.012, 2.2, 1.0))
    return _ground_shade(view, image, -0.22)


def cliff(view: View) -> Tensor:
    """The edge of a snowy cliff high above a valley, peaks beyond."""
    image = _peaks(view, sky(view))
    mist = view.by_time((0.86, 0.91, 0.97), (0.97, 0.79, 0.66), (0.26, 0.32, 0.48))
    image = torch.lerp(image, mist.expand_as(image), (0.85 * (1.0 - _rise(view, -0.30, 0.02))).unsqueeze(1))
    rock = view.by_time((0.36, 0.38, 0.44), (0.34, 0.25, 0.28), (0.13, 0.15, 0.23))
    snow = view.by_time((0.95, 0.97, 1.0), (0.98, 0.86, 0.82), (0.44, 0.52, 0.70))
    side = cliff_side(view)
    u = (view.x + view.pan) * side
    jag = 0.022 * torch.sin(13.0 * view.y + view.seed) + 0.014 * torch.sin(31.0 * view.y + 2.0 * view.seed)
    wall = u - 0.30 * view.width - jag + 0.16 * (view.y + 0.24 * view.height)
    top = view.y + 0.245 * view.height - 0.010 * torch.sin(5.0 * u + view.seed)
    body = torch.maximum(top, wall)
    image = over(image, rock, coverage(body, view.px))
    strata = torch.sin(40.0 * view.y + 3.0 * torch.sin(4.0 * u) + view.seed)
    image = over(image, rock * 1.40, coverage(body, view.px) * smoothstep(0.0, 0.5, strata) * 0.5)
    image = over(image, rock * 0.60, coverage(torch.maximum(body, -wall - 0.07 - 0.4 * jag), view.px) * 0.55)
    cap = 0.062 * view.height + 0.014 * torch.sin(11.0 * u + view.seed) + 0.010 * torch.sin(27.0 * u)
    blanket = torch.maximum(torch.maximum(top, wall - 0.02), -(top + cap))
    return over(image, snow, coverage(blanket, view.px))


def sea(view: View) -> Tensor:
    """Open water with slow waves and a path of light."""
    image = sky(view)
    level = -0.10 * view.height
    far = view.by_time((0.28, 0.60, 0.80), (0.62, 0.44, 0.48), (0.08, 0.15, 0.29))
    near = view.by_time((0.08, 0.38, 0.62), (0.24, 0.22, 0.38), (0.03, 0.08, 0.19))
    depth = ((level - view.y) / (0.4 * view.height)).clamp(0.0, 1.0)
    water = torch.lerp(*torch.broadcast_tensors(far, near, depth.unsqueeze(1)))
    water = water.expand(-1, -1, *torch.broadcast_shapes(view.x.shape, view.y.shape)[1:])
    for row, (offset, size, drift) in enumerate(
        ((0.04, 0.5, 0.2), (0.10, 0.7, 0.45), (0.20, 1.0, 0.8), (0.32, 1.4, 1.2))
    ):
        u = view.x + view.pan * drift + 0.05 * (row + 1) * view.t * (1.0 if row % 2 else -1.0)
        crest = level - offset * view.height + 0.012 * size * torch.sin(9.0 / size * u + row + 1.2 * view.t + view.seed)
        line = 1.0 - ((view.y - crest).abs() / (0.012 * size)).clamp_max(1.0)
        broken = smoothstep(-0.2, 0.7, torch.sin(4.1 / size * u + 2.0 * row + view.seed))
        water = over(water, (1.0, 1.0, 1.0), 0.28 * line * broken * view.by_time_number(1.0, 0.8, 0.35))
        below = smoothstep(0.0, 0.07 * size, crest - view.y)
        water = water * (1.0 - 0.07 * below).unsqueeze(1)
    sun = view.by_time((1.0, 0.98, 0.86), (1.0, 0.76, 0.42), (0.80, 0.86, 1.0))
    path = torch.exp(-(((view.x + 0.1 * view.pan - _sun_x(view)) / (0.07 + 0.25 * depth)) ** 2))
    ripple = 0.5 + 0.5 * torch.sin(60.0 * (view.y / (0.4 + depth)) + 2.0 * view.t + 1.2 * torch.sin(6.0 * view.x))
    water = over(water, sun, 0.38 * path * ripple)
    image = _join(image, water, coverage(view.y - level, view.px))
    if not any(is_ashore(scene) for scene in view.scenes):
        return image
    ashore = view.flags(is_ashore)
    sand = view.by_time((0.95, 0.86, 0.66), (0.88, 0.62, 0.48), (0.31, 0.31, 0.40))
    u = view.x + view.pan
    tide = 0.012 * torch.sin(0.9 * view.t + 2.0 * u)
    edge = view.y + 0.215 * view.height + 0.012 * torch.sin(3.1 * u + view.seed) - tide
    image = over(image, sand * 0.80, ashore * coverage(edge, view.px))
    image = over(image, (1.0, 1.0, 1.0), ashore * 0.75 * coverage((edge - 0.006).abs() - 0.009, view.px))
    dry = edge + 0.035 + tide
    return over(image, sand * (1.0 + 0.02 * torch.sin(5.0 * u)).unsqueeze(1), ashore * smoothstep(0.012, -0.012, dry))


def forest(view: View) -> Tensor:
    """Rows of trunks under a roof of leaves."""
    air = view.by_time((0.80, 0.92, 0.72), (0.96, 0.72, 0.46), (0.13, 0.22, 0.30))
    deep = view.by_time((0.50, 0.72, 0.50), (0.66, 0.44, 0.32), (0.07, 0.13, 0.19))
    image = torch.lerp(*torch.broadcast_tensors(air, deep, _rise(view, -0.2, 0.45).unsqueeze(1)))
    for row, (cell, parallax) in enumerate(((0.17, 0.2), (0.30, 0.4), (0.56, 0.7))):
        near = row / 2.0
        trunk = torch.lerp(
            deep, view.by_time((0.30, 0.21, 0.15), (0.24, 0.14, 0.12), (0.05, 0.06, 0.09)), 0.25 + 0.6 * near
        )
        u = view.x + parallax * view.pan + 0.07 * row
        column = torch.floor(u / cell)
        at = (noise(column, view.seed, row) - 0.5) * 0.45 * cell
        half = cell * (0.07 + 0.07 * noise(column, view.seed, row + 5.0))
        trunk_d = (u - (column + 0.5) * cell - at).abs() - half * (1.0 + 0.4 * (-view.y).clamp_min(0.0))
        image = over(image, trunk, coverage(torch.maximum(trunk_d, view.y * 0.0 - 1.0), view.px))
        leaf = torch.lerp(
            deep, view.by_time((0.22, 0.50, 0.20), (0.42, 0.30, 0.13), (0.04, 0.11, 0.12)), 0.35 + 0.6 * near
        )
        sway = 0.012 * torch.sin(1.2 * view.t + row)
        wave = torch.sin(7.0 / (1 + row) * (u + sway) + view.seed) + 0.5 * torch.sin(
            19.0 / (1 + row) * (u + sway) + row
        )
        image = over(image, leaf, coverage((0.22 + 0.09 * row) * view.height - 0.055 * wave - view.y, view.px))
    beam = smoothstep(0.55, 1.0, torch.sin(6.0 * (view.x + 0.55 * view.y) + view.seed + 0.3 * view.pan))
    image = over(image, air, beam * 0.20 * view.by_time_number(1.0, 1.0, 0.25))
    moss = view.by_time((0.30, 0.48, 0.20), (0.38, 0.30, 0.15), (0.06, 0.12, 0.12))
    image = over(image, moss * 0.85, _hill(view, -0.17, 0.015, 4.0, 0.8))
    image = over(image, moss, _hill(view, -0.22, 0.010, 3.0, 1.0))
    return _ground_shade(view, image, -0.22)


def desert(view: View) -> Tensor:
    """Dunes with a lit and a shaded side."""
    image = sky(view)
    lit = view.by_time((0.96, 0.80, 0.52), (0.93, 0.56, 0.34), (0.30, 0.30, 0.42))
    dark = view.by_time((0.82, 0.60, 0.36), (0.60, 0.32, 0.28), (0.16, 0.17, 0.29))
    for row, (base, rise, parallax) in enumerate(((-0.03, 0.12, 0.15), (-0.13, 0.09, 0.4))):
        u = (view.x + parallax * view.pan) / (1.3 + 0.5 * row) + 0.37 * row + 0.05 * view.seed
        saw = torch.remainder(u, 1.0)
        crest = torch.where(saw < 0.62, saw / 0.62, (1.0 - saw) / 0.38)
        crest = crest * crest * (3.0 - 2.0 * crest)
        body = coverage(view.y - (base + rise * crest) * view.height, view.px)
        tone = torch.lerp(dark, lit, 0.55 + 0.45 * row)
        image = over(image, tone, body)
        lee = smoothstep(0.60, 0.63, saw + 0.10 * torch.sin(9.0 * view.y)) * (1.0 - smoothstep(0.85, 1.0, saw))
        image = over(image, dark, body * lee * 0.75)
    image = over(image, lit, _hill(view, -0.20, 0.018, 2.0, 1.0))
    ripples = torch.sin(46.0 * (view.y + 0.05 * torch.sin(3.0 * (view.x + view.pan)))) * (
        1.0 - _rise(view, -0.36, -0.26)
    )
    return _ground_shade(view, image * (1.0 + 0.025 * ripples).unsqueeze(1), -0.20)


def sky(view: View) -> Tensor:
    """Gradient, sun or moon, stars and clouds."""
    top = view.by_time((0.27, 0.56, 0.90), (0.33, 0.27, 0.52), (0.04, 0.06, 0.17))
    low = view.by_time((0.80, 0.91, 0.98), (1.00, 0.66, 0.40), (0.15, 0.20, 0.40))
    image = torch.lerp(*torch.broadcast_tensors(low, top, _rise(view, -0.12, 0.5).unsqueeze(1)))
    disc = view.by_time((1.0, 0.97, 0.80), (1.0, 0.80, 0.45), (0.96, 0.96, 0.88))
    sun_y = view.by_time_number(0.33, 0.06, 0.32) * view.height
    d = circle(view.x + 0.03 * view.pan, view.y, _sun_x(view), sun_y, view.by_time_number(0.065, 0.10, 0.06))
    image = over(image, disc, 0.45 * torch.exp(-d.clamp_min(0.0) / view.by_time_number(0.14, 0.26, 0.10)))
    image = over(image, disc, coverage(d, view.px))
    night = view.by_time_number(0.0, 0.0, 1.0)
    if any(scene.time_of_day == "night" for scene in view.scenes):
        cell = 0.16
        column, row = torch.floor(view.x / cell), torch.floor(view.y / cell)
        number = column * 7.0 + row * 31.0
        u = view.x - (column + 0.25 + 0.5 * noise(number, view.seed, 1.0)) * cell
        v = view.y - (row + 0.25 + 0.5 * noise(number, view.seed, 2.0)) * cell
        size = 0.004 + 0.006 * noise(number, view.seed, 3.0)
        star = torch.exp(-(u * u + v * v) / (size * size)) * (noise(number, view.seed, 4.0) > 0.35)
        image = over(image, (1.0, 0.98, 0.9), night * star * _rise(view, -0.1, 0.25))
    cloud = view.by_time((1.0, 1.0, 1.0), (1.0, 0.74, 0.62), (0.20, 0.24, 0.38))
    return over(image, cloud, _clouds(view) * view.by_time_number(0.85, 0.7, 0.45))


def _clouds(view: View) -> Tensor:
    """Soft heaps on two bands that drift slowly; [B, F, H, W] in 0 to 1."""
    total: Tensor | None = None
    for row, (base, cell, speed) in enumerate(((0.34, 1.25, 0.020), (0.16, 0.95, 0.012))):
        u = view.x + 0.06 * view.pan + speed * view.t + 0.61 * row + 0.13 * view.seed
        column = torch.floor(u / cell)
        u = u - (column + 0.5) * cell
        v = view.y - (base + 0.07 * (noise(column, view.seed, 20.0 + row) - 0.5)) * view.height
        size = 0.75 + 0.5 * noise(column, view.seed, 30.0 + row)
        puffs = circle(u, v * 1.3, 0.0, 0.03, 0.075 * size)
        for px, py, radius in ((-0.13, 0.0, 0.052), (0.12, 0.005, 0.06), (-0.06, 0.03, 0.055), (0.22, -0.015, 0.035)):
            puffs = torch.minimum(puffs, circle(u, v * 1.3, px * size, py * size, radius * size))
        flat = torch.maximum(puffs, -(v + 0.025))
        mass = smoothstep(0.012, -0.018, flat) * (noise(column, view.seed, 40.0 + row) > 0.25)
        total = mass if total is None else torch.maximum(total, mass)
    assert total is not None
    return total


def _peaks(view: View, image: Tensor) -> Tensor:
    """Two ranges of mountains with snow on the upper part and a shaded flank."""
    rock_far = view.by_time((0.60, 0.69, 0.82), (0.62, 0.48, 0.60), (0.17, 0.21, 0.36))
    rock_near = view.by_time((0.42, 0.50, 0.63), (0.45, 0.34, 0.46), (0.12, 0.15, 0.27))
    snow = view.by_time((0.97, 0.98, 1.0), (1.0, 0.83, 0.74), (0.50, 0.57, 0.76))
    for row, (base, rise, cell, parallax, rock) in enumerate(
        ((-0.08, 0.42, 0.95, 0.08, rock_far), (-0.14, 0.34, 0.72, 0.2, rock_near))
    ):
        u = view.x + parallax * view.pan + 0.31 * row + 0.05 * view.seed
        crest: Tensor | None = None
        flank: Tensor | None = None
        for shift in (0.0, 0.5):
            column = torch.floor(u / cell + shift)
            at = (column + 0.5 - shift) * cell + (noise(column, view.seed, 50.0 + row + shift) - 0.5) * 0.3 * cell
            tall = rise * (0.62 + 0.38 * noise(column, view.seed, 60.0 + row + shift))
            slope = 1.05 * (u - at).abs()
            h = tall - slope
            right = (u > at + 0.03 * torch.sin(30.0 * view.y)).float()
            flank = right if crest is None or flank is None else torch.where(h > crest, right, flank)
            crest = h if crest is None else torch.maximum(crest, h)
        assert crest is not None
        assert flank is not None
        jag = 0.012 * torch.sin(31.0 * u + view.seed) + 0.008 * torch.sin(67.0 * u)
        top = (base + crest) * view.height + jag
        body = coverage((view.y - top) * 0.7, view.px)
        image = over(image, rock, body)
        line = (0.13 + 0.03 * row) * view.height + 0.035 * torch.sin(24.0 * u) + 0.02 * torch.sin(53.0 * u + view.seed)
        white = smoothstep(-0.015, 0.015, view.y - line + 0.4 * (0.1 * view.height - (top - view.y)).clamp_min(0.0))
        image = over(image, snow, body * white)
        image = over(image, rock * 0.72, body * flank * 0.45)
    return image


def _hill(view: View, base: float, rise: float, waves: float, parallax: float) -> Tensor:
    """Coverage of rolling ground: all that is under a wavy line."""
    u = view.x + parallax * view.pan
    line = torch.sin(waves * u + view.seed) + 0.45 * torch.sin(2.3 * waves * u + 2.0 * view.seed)
    return coverage(view.y - (base + rise * 0.7 * line) * view.height, view.px)


def _ground_shade(view: View, image: Tensor, line: float) -> Tensor:
    """Darken the ground towards the viewer."""
    depth = smoothstep(line * view.height, -0.55 * view.height, view.y)
    return image * (1.0 - 0.22 * depth).unsqueeze(1)


def _rise(view: View, low: float, high: float) -> Tensor:
    return smoothstep(low * view.height, high * view.height, view.y)


def _sun_x(view: View) -> Tensor:
    return wrap(0.37 * view.seed, 1.0) * 0.7 * view.width


def _join(below: Tensor, above: Tensor, alpha: Tensor) -> Tensor:
    return torch.lerp(*torch.broadcast_tensors(below, above, alpha.unsqueeze(1)))
