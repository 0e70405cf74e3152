"""Which backdrop is painted by which function, and light that belongs to all of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training import backdrops_city, backdrops_nature
from training.raster import over
from training.view import View, place_subjects

PAINTERS: dict[str, Callable[[View], Tensor]] = {
    "studio": backdrops_nature.studio,
    "meadow": backdrops_nature.meadow,
    "snow_mountain": backdrops_nature.snow_mountain,
    "cliff": backdrops_nature.cliff,
    "sea": backdrops_nature.sea,
    "forest": backdrops_nature.forest,
    "desert": backdrops_nature.desert,
    "tokyo_street": backdrops_city.tokyo_street,
    "future_city": backdrops_city.future_city,
    "cafe": backdrops_city.cafe,
}


def paint_backdrop(view: View) -> Tensor:
    """Paint the backdrop of clips that share one; [B, 3, F, H, W] in [0, 1]."""
    image = PAINTERS[view.scenes[0].scene](view)
    frames, height, width = torch.broadcast_shapes(view.t.shape, view.x.shape, view.y.shape)[1:]
    image = image.expand(len(view.scenes), 3, frames, height, width)
    if any(scene.light != "soft" for scene in view.scenes):
        image = _coloured_light(view, image)
    return image.clamp(0.0, 1.0)


def _coloured_light(view: View, image: Tensor) -> Tensor:
    """A low golden sun behind the subject, or magenta and cyan lamps from the sides."""
    place = place_subjects(view)
    back = view.flags(lambda scene: scene.light == "backlight")
    centre = place.y + 0.55 * place.unit
    near = torch.exp(-((view.x - _in_frame(view, place.x)) ** 2 + 1.3 * (view.y - centre) ** 2) / 0.16)
    image = over(image, (1.0, 0.84, 0.48), back * 0.72 * near)
    image = over(image, (1.0, 0.62, 0.25), back * 0.16)
    neon = view.flags(lambda scene: scene.light == "neon")
    image = image * (1.0 - neon * view.by_time_number(0.42, 0.32, 0.10)).unsqueeze(1)
    from_left = torch.exp(-((view.sx / view.width + 0.62) ** 2) / 0.14)
    from_right = torch.exp(-((view.sx / view.width - 0.62) ** 2) / 0.14)
    image = over(image, (1.0, 0.12, 0.68), neon * 0.48 * from_left)
    return over(image, (0.08, 0.72, 1.0), neon * 0.48 * from_right)


def _in_frame(view: View, x: Tensor) -> Tensor:
    return x.clamp(-0.5 * view.width, 0.5 * view.width)
