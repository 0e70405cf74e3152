"""Rain, snow and fog: what hangs between backdrop and subject (`haze`) and what falls in front of both (`fall`)."""

from __future__ import annotations

import torch
from torch import Tensor

from training.attributes import INDOOR
from training.raster import noise, over, smoothstep
from training.scene import is_ashore
from training.view import View


def haze(view: View, image: Tensor) -> Tensor:
    """What the weather does to the backdrop: grey under rain, white ground under snow, veiled by fog."""
    if all(scene.weather == "clear" for scene in view.scenes):
        return image
    intensity = _intensity(view)
    rain = (view.flags(lambda scene: scene.weather == "rain") * intensity).unsqueeze(1)
    grey = image.mean(1, keepdim=True)
    grey_share = view.by_time_number(0.58, 0.46, 0.18).unsqueeze(1)
    dim = view.by_time_number(0.66, 0.74, 0.92).unsqueeze(1)
    image = torch.lerp(image, torch.lerp(*torch.broadcast_tensors(image, grey, grey_share)) * dim, rain)
    snow = view.flags(
        lambda scene: (
            scene.weather == "snow" and scene.scene not in INDOOR and (scene.scene != "sea" or is_ashore(scene))
        )
    )
    white = view.by_time((0.93, 0.95, 0.98), (0.86, 0.78, 0.80), (0.36, 0.41, 0.55))
    ground = smoothstep(-0.20 * view.height, -0.24 * view.height, view.y)
    image = over(image, white * 0.92, snow * intensity * (0.42 + 0.44 * ground))
    fog = view.flags(lambda scene: scene.weather == "fog")
    return over(image, _fog_colour(view), fog * intensity * (0.66 + 0.15 * _veil(view, 0.0)))


def fall(view: View, image: Tensor) -> Tensor:
    """Streaks, flakes or veils in front; the clips of a view share one weather other than clear."""
    return torch.lerp(image, _fallen(view, image), _intensity(view).unsqueeze(1))


def _fallen(view: View, image: Tensor) -> Tensor:
    weather = view.scenes[0].weather
    if weather == "rain":
        for row, (cell_x, cell_y, speed) in enumerate(((0.085, 0.42, 1.05), (0.13, 0.60, 1.45))):
            image = over(image, (0.86, 0.92, 1.0), 0.60 * _streaks(view, row, cell_x, cell_y, speed))
        return image
    if weather == "snow":
        for row, (cell, radius, speed) in enumerate(((0.17, 0.011, 0.13), (0.26, 0.016, 0.19), (0.42, 0.022, 0.28))):
            image = over(image, (1.0, 1.0, 1.0), 0.92 * _flakes(view, row, cell, radius, speed))
        return image
    low = smoothstep(0.30 * view.height, -0.45 * view.height, view.y)
    return over(image, _fog_colour(view), 0.10 + 0.30 * low * (0.55 + 0.45 * _veil(view, 2.0)))


def _intensity(view: View) -> Tensor:
    """How much of its weather shows, [B, 1, 1, 1]."""
    return view.numbers(lambda scene: scene.intensity)


def _streaks(view: View, row: int, cell_x: float, cell_y: float, speed: float) -> Tensor:
    """Short slanted lines, one in each cell of a falling grid."""
    u = view.x + 0.10 * view.y + 0.5 * view.pan
    column = torch.floor(u / cell_x)
    v = view.y + speed * view.t + cell_y * noise(column, view.seed, 4.0 + row)
    line = torch.floor(v / cell_y)
    number = column * 13.0 + torch.remainder(line, 64.0) * 7.0
    du = u - (column + 0.2 + 0.6 * noise(number, view.seed, 5.0 + row)) * cell_x
    dv = v - (line + 0.5) * cell_y
    thick, long = 0.0046 + 0.0014 * row, 0.060 + 0.022 * row
    return torch.exp(-((du / thick) ** 2)) * smoothstep(long, 0.6 * long, dv.abs())


def _flakes(view: View, row: int, cell: float, radius: float, speed: float) -> Tensor:
    """Soft round flakes that sway as they fall."""
    u = view.x + 0.5 * view.pan + 0.03 * torch.sin(1.1 * view.t + 5.0 * view.y + row) + 0.02 * row * view.t
    column = torch.floor(u / cell)
    v = view.y + speed * view.t + cell * noise(column, view.seed, 6.0 + row)
    line = torch.floor(v / cell)
    number = column * 13.0 + torch.remainder(line, 64.0) * 7.0
    du = u - (column + 0.25 + 0.5 * noise(number, view.seed, 7.0 + row)) * cell
    dv = v - (line + 0.25 + 0.5 * noise(number, view.seed, 8.0 + row)) * cell
    return smoothstep(1.35, 0.75, torch.sqrt(du * du + dv * dv) / radius)


def _veil(view: View, salt: float) -> Tensor:
    """Slow broad waves of thicker and thinner fog, -1 to 1."""
    u = view.x + 0.3 * view.pan + 0.06 * view.t
    return 0.6 * torch.sin(2.3 * u + 4.0 * view.y + view.seed + salt) + 0.4 * torch.sin(4.1 * u - 6.0 * view.y + salt)


def _fog_colour(view: View) -> Tensor:
    return view.by_time((0.87, 0.89, 0.91), (0.84, 0.70, 0.64), (0.27, 0.31, 0.42))
