"""Backdrops made by people: a Tokyo street, a city of the future, a café. Each paints a `View`."""

from __future__ import annotations

import torch
from torch import Tensor

from training.backdrops_nature import sky
from training.raster import box, circle, coverage, ellipse, noise, over, polygon, ring, smoothstep, union
from training.view import View

NEON: tuple[tuple[float, float, float], ...] = (
    (1.0, 0.20, 0.55), (0.15, 0.90, 1.0), (1.0, 0.80, 0.20), (0.60, 0.35, 1.0), (0.25, 1.0, 0.60),
)  # fmt: skip


def tokyo_street(view: View) -> Tensor:
    """House fronts with upright signs and lit windows along a road with a zebra crossing."""
    night = view.by_time_number(0.0, 0.55, 1.0)
    image = sky(view)
    far = view.by_time((0.70, 0.76, 0.83), (0.56, 0.40, 0.50), (0.10, 0.11, 0.24))
    image, _, _ = _towers(view, image, far, cell=0.26, low=0.16, tall=0.30, parallax=0.15, salt=1.0, lit=0.35 * night)
    near = view.by_time((0.58, 0.56, 0.58), (0.38, 0.27, 0.34), (0.08, 0.08, 0.16))
    lit = 0.25 + 0.50 * night
    image, column, left = _towers(view, image, near, cell=0.46, low=0.24, tall=0.28, parallax=0.45, salt=2.0, lit=lit)
    for index, (at, low, tall) in enumerate(((0.055, -0.02, 0.15), (0.385, 0.05, 0.12), (0.22, 0.20, 0.07))):
        pick = noise(column, view.seed, 11.0 + index)
        there = (noise(column, view.seed, 17.0 + index) > (0.12, 0.25, 0.55)[index]).float()
        sign = box(left, view.y, at, (low + 0.10 * pick) * view.height, 0.042, tall * view.height, 0.012)
        hue = _neon(pick)
        glow = torch.exp(-sign.clamp_min(0.0) / 0.05) * there * night
        image = image + 0.30 * glow.unsqueeze(1) * hue * (1.0 - image)
        image = over(image, hue * (0.82 + 0.12 * night.unsqueeze(1)), coverage(sign, view.px) * there)
        strokes = torch.remainder(view.y / 0.062, 1.0) - 0.5
        mark = torch.maximum(strokes.abs() * 0.062 - 0.017, (left - at).abs() - 0.021)
        image = over(image, (1.0, 0.98, 0.92), coverage(torch.maximum(mark, sign + 0.014), view.px) * there * 0.9)
    shop_light = view.by_time((0.80, 0.84, 0.84), (1.0, 0.80, 0.52), (1.0, 0.83, 0.56))
    shop = box(left, view.y, 0.22, -0.155 * view.height, 0.17, 0.052 * view.height, 0.01)
    image = over(image, shop_light, coverage(shop, view.px))
    image = over(
        image, near * 0.7, coverage(torch.maximum((torch.remainder(left, 0.113) - 0.056).abs() - 0.007, shop), view.px)
    )
    awning = box(left, view.y, 0.22, -0.092 * view.height, 0.19, 0.014 * view.height)
    stripe = (torch.remainder(left / 0.076, 1.0) > 0.5).float().unsqueeze(1)
    image = over(image, _neon(noise(column, view.seed, 5.0)) * (0.55 + 0.3 * stripe), coverage(awning, view.px))
    road = view.by_time((0.45, 0.46, 0.49), (0.31, 0.26, 0.32), (0.075, 0.08, 0.14))
    return _wet_road(view, image, road, level=-0.215, stripes=True)


def future_city(view: View) -> Tensor:
    """Glass towers, light rails, flying traffic and a pearl tower of the new Shanghai."""
    night = view.by_time_number(0.0, 0.5, 1.0)
    image = sky(view)
    haze = view.by_time((0.70, 0.83, 0.92), (0.72, 0.50, 0.58), (0.15, 0.13, 0.33))
    image, _, _ = _towers(view, image, haze, cell=0.21, low=0.12, tall=0.26, parallax=0.08, salt=3.0, lit=0.45 * night)
    image = _pearl_tower(view, image, haze * 0.86, night)
    glass = view.by_time((0.46, 0.68, 0.82), (0.50, 0.37, 0.52), (0.08, 0.12, 0.27))
    for row, (cell, parallax, tone) in enumerate(((0.38, 0.2, 1.0), (0.66, 0.45, 0.78))):
        u = view.x + parallax * view.pan + 0.17 * row
        column = torch.floor(u / cell)
        left = u - (column + 0.5) * cell
        half = cell * (0.24 + 0.12 * noise(column, view.seed, 70.0 + row))
        tall = (-0.04 + 0.54 * noise(column, view.seed, 74.0 + row) ** 1.4 - 0.14 * row) * view.height
        slant = 0.35 * (noise(column, view.seed, 78.0 + row) - 0.5) * left
        tower = torch.maximum(left.abs() - half, view.y - tall - slant)
        body = coverage(tower, view.px)
        lift = (
            0.80
            + 0.35 * smoothstep(-0.3 * view.height, 0.5 * view.height, view.y)
            + 0.22 * (left / half).clamp(-1.0, 1.0)
        )
        image = torch.lerp(*torch.broadcast_tensors(image, glass * tone * lift.unsqueeze(1), body.unsqueeze(1)))
        hue = _neon(noise(column, view.seed, 82.0 + row))
        floors = smoothstep(0.30, 0.42, (torch.remainder(view.y / 0.075, 1.0) - 0.5).abs())
        image = over(image, lighten(glass, 0.45), body * floors * 0.40 * (1.0 - 0.4 * night))
        storey = torch.floor(view.y / 0.075)
        lit = (noise(column * 11.0 + storey * 5.0, view.seed, 71.0) > 0.45).float()
        glowing = _rooms(view, left, half)
        image = over(image, (1.0, 0.86, 0.58), body * lit * glowing * night * 0.75)
        edge = coverage((left.abs() - half + 0.014).abs() - 0.006, view.px) * body
        image = over(image, hue, edge * night)
        panel = box(left, view.y, 0.0, tall - 0.17 * view.height, 0.6 * half, 0.065, 0.012)
        bright = 0.75 + 0.25 * torch.sin(1.5 * view.t + 40.0 * noise(column, view.seed, 86.0))
        image = over(image, hue * (0.55 + 0.45 * night).unsqueeze(1), body * coverage(panel, view.px) * bright)
        bars = (torch.remainder(view.y / 0.042, 1.0) - 0.5).abs() * 0.042 - 0.010
        image = over(image, (1.0, 1.0, 1.0), body * coverage(torch.maximum(bars, panel + 0.018), view.px) * 0.7)
        lane = (0.20 - 0.19 * row) * view.height
        flow = view.t * (0.30 + 0.16 * row) * (1.0 if row == 0 else -1.0)
        along = torch.remainder((view.x + parallax * view.pan - flow) / 0.42, 1.0) - 0.5
        streak = torch.exp(-((along * 0.42 / 0.075) ** 2) - ((view.y - lane) / 0.011) ** 2)
        image = over(image, (1.0, 0.93, 0.70) if row == 0 else (1.0, 0.36, 0.45), streak * (0.45 + 0.5 * night))
    road = view.by_time((0.56, 0.64, 0.70), (0.34, 0.28, 0.38), (0.07, 0.09, 0.17))
    return _wet_road(view, image, road, level=-0.225, stripes=False)


def cafe(view: View) -> Tensor:
    """Inside a café: window, shelves with cups and bottles, hanging lamps, a wooden bar."""
    wall = view.by_time((0.80, 0.70, 0.58), (0.66, 0.47, 0.34), (0.38, 0.26, 0.20))
    dark = view.by_time((0.42, 0.28, 0.18), (0.36, 0.21, 0.13), (0.22, 0.13, 0.09))
    u = view.x + 0.35 * view.pan
    glow = 1.0 + 0.14 * smoothstep(-0.3, 0.3, view.y)
    image = wall * glow.unsqueeze(1)
    image = over(image, wall * 0.82, coverage((torch.remainder(u, 0.24) - 0.12).abs() - 0.004, view.px))
    side = torch.where(torch.remainder(view.seed, 2.0) > 0.5, 1.0, -1.0)
    at = -0.24 * view.width * side
    pane = view.by_time((0.80, 0.92, 1.0), (1.0, 0.68, 0.42), (0.12, 0.17, 0.36))
    frame = box(u, view.y, at, 0.15 * view.height, 0.255, 0.235, 0.02)
    image = over(image, dark, coverage(frame - 0.025, view.px))
    sill = smoothstep(-0.08, 0.40, view.y).unsqueeze(1)
    image = torch.lerp(
        *torch.broadcast_tensors(image, pane * (1.0 - 0.16 * sill), coverage(frame, view.px).unsqueeze(1))
    )
    houses = view.y - 0.05 - 0.09 * (noise(torch.floor((u - at) / 0.1), view.seed, 8.0))
    image = over(image, pane * 0.72, coverage(torch.maximum(houses, frame), view.px))
    bars = union((u - at).abs() - 0.010, (view.y - 0.15 * view.height).abs() - 0.010)
    image = over(image, dark, coverage(torch.maximum(bars, frame), view.px))
    shelf_x = 0.24 * view.width * side
    for row, y in enumerate((0.0, 0.21)):
        cell = 0.108
        column = torch.floor((u - shelf_x) / cell)
        left = u - shelf_x - (column + 0.5) * cell
        inside = (u - shelf_x).abs() - 0.30
        pick = noise(column, view.seed, 90.0 + row)
        tall = 0.035 + 0.055 * pick
        cup = box(left, view.y, 0.0, y + tall, 0.030, tall, 0.012)
        neck = box(left, view.y, 0.0, y + 2.0 * tall, 0.011, 0.045)
        thing = torch.maximum(torch.where(pick > 0.55, torch.minimum(cup, neck), cup), inside)
        hue = torch.stack([0.45 + 0.5 * noise(column, view.seed, 94.0 + row + k) for k in range(3)], 1)
        image = over(image, hue * wall, coverage(thing, view.px))
        image = over(image, dark, coverage(torch.maximum((view.y - y + 0.012).abs() - 0.014, inside - 0.03), view.px))
    lamp_on = view.by_time_number(0.35, 0.8, 1.0)
    for k in (-1.0, 0.0, 1.0):
        cx = k * 0.34 * view.width
        v = view.y - 0.36 * view.height
        image = over(image, (0.16, 0.11, 0.09), coverage(box(u, v, cx, 0.15, 0.006, 0.15), view.px))
        shine = torch.exp(-(((u - cx) / 0.20) ** 2) - ((v + 0.03) / 0.20) ** 2)
        image = over(image, (1.0, 0.82, 0.48), 0.55 * lamp_on * shine)
        shade = polygon(u - cx, v, [(-0.085, 0.0), (0.085, 0.0), (0.03, 0.075), (-0.03, 0.075)], 0.01)
        image = over(image, (0.20, 0.14, 0.11), coverage(shade, view.px))
        image = over(image, (1.0, 0.93, 0.70), coverage(ellipse(u, v, cx, -0.008, 0.045, 0.022), view.px))
    return _bar(view, image)


def lighten(colour: Tensor, amount: float) -> Tensor:
    """A paler tone."""
    return colour + (1.0 - colour) * amount


def _bar(view: View, image: Tensor) -> Tensor:
    """The counter in front: a lit top and upright boards with an even grain."""
    top = view.by_time((0.74, 0.47, 0.26), (0.68, 0.38, 0.20), (0.50, 0.29, 0.16))
    u = view.x + view.pan
    level = view.y + 0.19 * view.height
    grain = 0.035 * torch.sin(70.0 * view.y + 2.5 * torch.sin(2.2 * u + view.seed))
    image = torch.lerp(
        *torch.broadcast_tensors(image, top * (1.0 + grain).unsqueeze(1), coverage(level, view.px).unsqueeze(1))
    )
    front = view.y + 0.30 * view.height
    board = torch.remainder(u, 0.22) - 0.11
    tone = (
        0.62
        + 0.05 * torch.sin(26.0 * u + 2.0 * torch.sin(5.0 * view.y))
        + 0.05 * noise(torch.floor(u / 0.22), view.seed, 2.0)
    )
    image = torch.lerp(*torch.broadcast_tensors(image, top * tone.unsqueeze(1), coverage(front, view.px).unsqueeze(1)))
    image = over(image, top * 0.40, coverage(torch.maximum(board.abs() - 0.005, front), view.px))
    image = over(image, top * 1.25, coverage((front - 0.012).abs() - 0.012, view.px) * 0.6)
    return over(image, top * 0.35, coverage(front.abs() - 0.005, view.px) * 0.8)


def _towers(
    view: View, image: Tensor, colour: Tensor, *, cell: float, low: float, tall: float, parallax: float, salt: float,
    lit: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """A row of blocks with a grid of windows, a share `lit` of which glow.

    Returns:
        The image, the number of the block at each pixel, and how far right of the block's left wall it is.
    """
    u = view.x + parallax * view.pan + 0.11 * salt
    column = torch.floor(u / cell)
    left = u - column * cell
    roof = (low + tall * (noise(column, view.seed, salt) - 0.35)) * view.height
    tone = 0.86 + 0.28 * noise(column, view.seed, salt + 9.0)
    block = view.y - roof
    body = coverage(block, view.px) * coverage(0.004 - torch.minimum(left, cell - left), view.px)
    image = over(image, colour * tone.unsqueeze(1), body)
    step_x, step_y = cell / 4.0, 0.082
    across, down = torch.floor(left / step_x), torch.floor((roof - view.y) / step_y)
    u, v = left - (across + 0.5) * step_x, roof - view.y - (down + 0.5) * step_y
    window = box(u, v, 0.0, 0.0, 0.27 * step_x, 0.024)
    on = (noise(column * 17.0 + across * 5.0 + down * 3.0, view.seed, salt + 2.0) < lit).float()
    pane = torch.lerp(*torch.broadcast_tensors(colour * 0.68, _window_light(view), on.unsqueeze(1)))
    inside = coverage(torch.maximum(window, block + 0.02), view.px) * 0.85
    image = torch.lerp(*torch.broadcast_tensors(image, pane, inside.unsqueeze(1)))
    return image, column, left


def _rooms(view: View, left: Tensor, half: Tensor) -> Tensor:
    """Coverage of the bands of windows between the floors of a glass tower."""
    band = (torch.remainder(view.y / 0.075, 1.0) - 0.5).abs() * 0.075 - 0.016
    return coverage(torch.maximum(band, left.abs() - 0.72 * half), view.px)


def _window_light(view: View) -> Tensor:
    return view.by_time((0.86, 0.93, 0.97), (1.0, 0.80, 0.50), (1.0, 0.84, 0.52))


def _neon(pick: Tensor) -> Tensor:
    """One of the sign colours by a number in [0, 1); [..., 3 at dim 1]."""
    table = torch.tensor(NEON, device=pick.device)
    return table[(pick * len(NEON)).long().clamp(0, len(NEON) - 1)].movedim(-1, 1)


def _pearl_tower(view: View, image: Tensor, colour: Tensor, night: Tensor) -> Tensor:
    side = torch.where(torch.remainder(view.seed, 2.0) > 0.5, 1.0, -1.0)
    u, v = view.x + 0.1 * view.pan - 0.20 * side * view.width, view.y / view.height + 0.02
    shape = union(
        box(u, v, 0.0, 0.0, 0.014, 0.40), circle(u, v, 0.0, 0.0, 0.075), circle(u, v, 0.0, 0.26, 0.045),
        box(u, v, -0.05, -0.2, 0.012, 0.2), box(u, v, 0.05, -0.2, 0.012, 0.2),
    )  # fmt: skip
    image = over(image, colour, coverage(shape, view.px))
    glow = union(ring(circle(u, v, 0.0, 0.0, 0.06), 0.014), circle(u, v, 0.0, 0.26, 0.022))
    return over(image, (1.0, 0.35, 0.65), coverage(glow, view.px) * (0.25 + 0.65 * night))


def _wet_road(view: View, image: Tensor, road: Tensor, *, level: float, stripes: bool) -> Tensor:
    """The road in front; wet or at night it mirrors the lights above as long soft smears."""
    top = level * view.height
    depth = ((top - view.y) / ((0.5 + level) * view.height)).clamp(0.0, 1.0)
    surface = road * (1.0 - 0.18 * depth).unsqueeze(1)
    u = (view.x + view.pan * (0.45 + 0.55 * depth)) / (0.55 + 0.45 * depth)
    if stripes:
        bar = smoothstep(0.20, 0.24, (torch.remainder(u / 0.36, 1.0) - 0.5).abs()) * smoothstep(0.30, 0.34, depth)
        surface = over(surface, lighten(road, 0.62), bar * (1.0 - smoothstep(0.86, 0.9, depth)) * 0.8)
    wet = view.numbers(lambda scene: 1.0 if scene.weather == "rain" else 0.7 if scene.time_of_day == "night" else 0.0)
    if any(scene.weather == "rain" or scene.time_of_day == "night" for scene in view.scenes):
        column = u / 0.30
        cell = torch.floor(column)
        hump = torch.sin(torch.pi * (column - cell)) ** 2
        hue = _neon(noise(cell, view.seed, 33.0))
        shimmer = 0.75 + 0.25 * torch.sin(50.0 * view.y + 3.0 * view.t + 4.0 * torch.sin(6.0 * u))
        fade = (1.0 - depth) * smoothstep(0.0, 0.06, depth)
        surface = over(surface, hue, 0.62 * wet * view.by_time_number(0.35, 0.7, 1.0) * hump * shimmer * fade)
    kerb = coverage((view.y - top).abs() - 0.008, view.px)
    image = torch.lerp(*torch.broadcast_tensors(image, surface, coverage(view.y - top, view.px).unsqueeze(1)))
    return over(image, lighten(road, 0.3), kerb)
