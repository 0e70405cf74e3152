"""The twelve styles as whole-frame looks: a finished picture and the distance to its subject in, a styled picture out.

A look keeps the subject's colour recognisable, keeps still what is not moving (textures are fixed to the screen), and
avoids detail finer than the latent grid can carry. What a style does to shape, time and relief is in `view`, `compose`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training.attributes import NO_STYLE
from training.raster import Colour, box, coverage, noise, over, rgb, rotate, smoothstep
from training.view import View, pixel_block


def apply_look(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Style clips that share one style.

    Args:
        image: [B, 3, F, H, W] in [0, 1].
        distance: to the subject in world units, [B, F, H, W], negative inside, about 1 where there is none.

    Returns:
        [B, 3, F, H, W], about [0, 1].
    """
    style = view.scenes[0].style
    return image if style == NO_STYLE else LOOKS[style](view, image, distance)


def cinematic(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Teal shadows, warm lights, contrast, and the black bars of wide film."""
    image = _contrast(image, 0.55)
    luma = _luma(image)
    image = _soft_light(image, (0.10, 0.42, 0.52), 0.34 * (1.0 - luma).clamp(0.0, 1.0) ** 1.5)
    image = _soft_light(image, (1.0, 0.70, 0.38), 0.26 * luma)
    image = image * _vignette(view, 0.45)
    bars = (view.sy.abs() - 0.395 * view.height) + 0.0 * distance
    return over(image, (0.0, 0.0, 0.0), coverage(-bars, view.pixel))


def ghibli(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Flat cel tones, clear greens and blues, a thin brown line."""
    image = _saturate(image * 0.90 + 0.07, 1.35)
    luma = _luma(image)
    image = image * (_steps(luma, 6.0, 0.6) / luma.clamp_min(0.05))
    wash = smoothstep(-0.3 * view.height, 0.45 * view.height, view.sy + 0.02 * torch.sin(5.0 * view.sx))
    image = _soft_light(image, (0.62, 0.84, 1.0), 0.30 * wash.unsqueeze(1))
    image = _soft_light(image, (0.80, 0.95, 0.62), 0.26 * (1.0 - wash).unsqueeze(1))
    image = _soft_light(image, (1.0, 0.96, 0.80), 0.18 * luma)
    return over(image, (0.27, 0.17, 0.14), 0.92 * _line(view, distance, 0.010))


def cyberpunk(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Night in indigo, magenta and cyan; the subject wears a line of light."""
    luma = _luma(_contrast(image, 0.6)) * 0.86
    vivid = image.amax(1, keepdim=True) - image.amin(1, keepdim=True)
    across = (0.5 + view.sx / view.width).clamp(0.0, 1.0).unsqueeze(1)
    low, high = (
        rgb((0.05, 0.02, 0.16), image),
        torch.lerp(rgb((1.0, 0.20, 0.70), image), rgb((0.10, 0.86, 1.0), image), across),
    )
    mapped = torch.lerp(low.expand_as(image), high.expand_as(image), (luma * 0.9).expand_as(image))
    mapped = mapped * 0.84 + (luma - 0.74).clamp_min(0.0) * 0.8
    inside = coverage(distance, view.pixel).unsqueeze(1)
    image = torch.lerp(image, mapped, (0.74 - 0.62 * vivid).clamp_min(0.10) * (1.0 - 0.6 * inside))
    light = torch.exp(-distance.abs() / 0.022).unsqueeze(1)
    image = image + 0.75 * light * high * (1.0 - image)
    return image * _vignette(view, 0.35)


def oil(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Thick directed strokes and varnish."""
    strokes = 0.6 * _dabs(view, 0.40, 0.22, 0.052) + 0.6 * _dabs(view, -0.65, 0.17, 0.044)
    image = _saturate(_contrast(image, 0.3), 1.30)
    luma = _luma(image)
    image = image * (_steps(luma, 9.0, 0.5) / luma.clamp_min(0.05))
    image = image * (1.0 + 0.12 * strokes).unsqueeze(1) + 0.03 * strokes.unsqueeze(1)
    image = _soft_light(image, (0.86, 0.62, 0.28), 0.20 * torch.ones_like(luma))
    image = image * (1.0 - 0.30 * _line(view, distance, 0.014)).unsqueeze(1)
    return image * _vignette(view, 0.40)


def ink_wash(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Grey ink on rice paper, ochre at dusk, much left empty; the subject keeps a pale pigment; a red seal."""
    paper = view.by_time((0.945, 0.915, 0.845), (0.96, 0.86, 0.745), (0.945, 0.915, 0.845))
    luma = _luma(image)
    tone = 0.30 + 0.74 * smoothstep(0.0, 0.95, luma) ** 0.8
    cloud = 0.05 * torch.sin(3.0 * view.sx + 2.0 * view.sy) * torch.sin(4.0 * view.sy - 2.0 * view.sx + 1.0)
    tone = torch.lerp(tone, torch.ones_like(tone), (0.30 + cloud).unsqueeze(1))
    wash = paper * tone
    inside = coverage(distance, view.pixel).unsqueeze(1)
    pigment = paper * torch.lerp(luma.expand_as(image), image, 0.78).clamp(0.0, 1.0) * 0.92 + 0.05
    image = torch.lerp(wash, pigment, inside)
    image = image * (1.0 - 0.26 * torch.exp(-distance.clamp_min(0.0) / 0.030) * (distance > 0)).unsqueeze(1)
    pressure = 0.0105 * (1.0 + 0.55 * torch.sin(9.0 * view.sx + 7.0 * view.sy))
    brush = coverage(distance.abs() - 0.5 * pressure, view.pixel)
    image = over(image, (0.10, 0.10, 0.12), 0.88 * brush)
    return _seal(view, image)


def watercolour(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Light pigment that gathers at its edges, blooms, and a rough border of white paper."""
    u, v = view.sx, view.sy
    bloom = torch.sin(4.0 * u + 2.0 * torch.sin(3.0 * v)) * torch.sin(5.0 * v + 2.0 * torch.sin(2.5 * u + 1.0))
    image = _saturate(image, 1.12) * 0.70 + 0.29
    image = image + (0.055 * bloom).unsqueeze(1)
    pool = torch.exp(-((distance + 0.008) / 0.010).abs())
    image = image * (1.0 - 0.26 * pool).unsqueeze(1)
    halo = torch.exp(-(((distance - 0.012) / 0.008) ** 2))
    image = over(image, (1.0, 0.99, 0.96), 0.50 * halo)
    ragged = 0.022 * (
        torch.sin(11.0 * u + 2.0 * v) + 0.6 * torch.sin(23.0 * v - 3.0 * u) + 0.4 * torch.sin(37.0 * (u + v))
    )
    border = box(u, v, 0.0, 0.0, 0.5 * view.width - 0.055, 0.5 * view.height - 0.055, 0.08) + ragged
    return over(image, (0.985, 0.975, 0.945), smoothstep(-0.012, 0.012, border + 0.0 * distance))


def pixel_art(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Square pixels, few colours, a dark line one pixel wide."""
    block = pixel_block(round(1.0 / view.pixel)) * view.pixel
    image = _saturate(image, 1.30)
    luma = _luma(image)
    image = image * (_steps(luma, 7.0, 0.0) / luma.clamp_min(0.07))
    line = ((distance > -0.1 * block) & (distance < 0.9 * block)).float()
    return over(image, (0.07, 0.06, 0.12), line)


def clay(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Soft matte matter with finger marks, a small warm set, twelve pictures a second."""
    image = _saturate(image, 0.95) * 0.85 + 0.10
    u, v = view.sx, view.sy
    lumps = torch.sin(26.0 * u + 3.0 * torch.sin(9.0 * v)) * torch.sin(24.0 * v + 3.0 * torch.sin(11.0 * u))
    inside = coverage(distance, view.pixel)
    image = image * (1.0 + (0.016 + 0.050 * inside) * lumps).unsqueeze(1)
    image = _soft_light(image, (0.95, 0.72, 0.48), 0.20 * torch.ones_like(_luma(image)))
    near = torch.exp(-distance.clamp_min(0.0) / 0.05) * (1.0 - inside)
    image = image * (1.0 - 0.24 * near).unsqueeze(1)
    lamp = torch.exp(-((u / view.width) ** 2 + ((v - 0.1) / view.height) ** 2) / 0.22)
    return image * (0.72 + 0.36 * lamp).unsqueeze(1)


def render_3d(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Glossy, saturated, lit by a blue and a violet softbox."""
    inside = coverage(distance, view.pixel)
    image = _saturate(image, 1.30)
    lift = smoothstep(-0.5 * view.height, 0.5 * view.height, view.sy).unsqueeze(1)
    box_light = torch.lerp(rgb((0.30, 0.24, 0.62), image), rgb((0.62, 0.80, 1.0), image), lift)
    image = torch.lerp(image, box_light.expand_as(image), (0.42 * (1.0 - inside)).unsqueeze(1))
    contact = torch.exp(-distance.clamp_min(0.0) / 0.07) * (1.0 - inside)
    image = image * (1.0 - 0.26 * contact).unsqueeze(1)
    rim = smoothstep(-0.030, -0.004, distance) * inside
    image = over(image, (0.86, 0.93, 1.0), 0.42 * rim)
    return _contrast(image, 0.25)


def noir(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Black and white with hard light through blinds; only the subject keeps some colour."""
    luma = _luma(image)
    grey = _contrast(luma, 0.9) * 0.95
    blinds = smoothstep(-0.25, 0.35, torch.sin(34.0 * (view.sy + 0.28 * view.sx)))
    inside = coverage(distance, view.pixel).unsqueeze(1)
    lit = torch.exp(-((view.sx / view.width - 0.05) ** 2 + (view.sy / view.height) ** 2) / 0.20)
    grey = grey * (0.30 + 0.78 * lit * (0.42 + 0.58 * blinds)).unsqueeze(1)
    subject = torch.lerp(luma.expand_as(image), image, 0.62) * 0.92
    image = torch.lerp(grey.expand_as(image), subject, inside)
    return _contrast(image, 0.25)


def vintage(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Faded warm stock in a rounded gate, with a leak of light."""
    luma = _luma(image)
    sepia = rgb((0.98, 0.80, 0.56), image) * luma + rgb((0.10, 0.06, 0.03), image)
    inside = coverage(distance, view.pixel).unsqueeze(1)
    image = torch.lerp(image, sepia, 0.74 - 0.34 * inside) * 0.84 + rgb((0.10, 0.07, 0.05), image)
    leak = torch.exp(-(((0.5 - view.sx / view.width) / 0.16) ** 2)) * (0.75 + 0.25 * torch.sin(4.0 * view.sy))
    image = over(image, (1.0, 0.55, 0.22), 0.50 * leak + 0.0 * distance)
    image = image * _vignette(view, 0.55)
    gate = box(view.sx, view.sy, 0.0, 0.0, 0.5 * view.width - 0.035, 0.5 * view.height - 0.035, 0.10)
    return over(image, (0.05, 0.035, 0.03), smoothstep(-0.008, 0.008, gate + 0.0 * distance))


def paper_cut(view: View, image: Tensor, distance: Tensor) -> Tensor:
    """Flat sheets of coloured paper, one on the other, each with its shadow; the subject has a white edge."""
    luma = _luma(image)
    flat = _steps(luma, 5.0, 0.03)
    sheet = _saturate(image * (flat / luma.clamp_min(0.06)), 1.20).clamp(0.0, 1.0)
    step = max(1, round(0.010 / view.pixel))
    above = torch.roll(flat, (step, -step), (-2, -1))
    sheet = sheet * (1.0 - 0.9 * (above - flat).abs().clamp_max(0.25))
    inside = coverage(distance, view.pixel).unsqueeze(1)
    image = torch.lerp(sheet, _saturate(image, 1.1), inside)
    edge = 0.018
    dropped = torch.roll(distance, (2 * step, 2 * step), (-2, -1))
    cast = smoothstep(0.035, -0.01, dropped - edge) * coverage(edge - distance, view.pixel)
    image = image * (1.0 - 0.48 * cast).unsqueeze(1)
    image = over(image, (0.99, 0.98, 0.95), coverage((distance - 0.5 * edge).abs() - 0.5 * edge, view.pixel))
    fibre = torch.sin(31.0 * view.sx + 3.0 * torch.sin(17.0 * view.sy)) * torch.sin(29.0 * view.sy + 2.0)
    return image * (1.0 + 0.018 * fibre).unsqueeze(1)


LOOKS: dict[str, Callable[[View, Tensor, Tensor], Tensor]] = {
    "Cinematic Realism": cinematic,
    "Anime Studio Ghibli": ghibli,
    "Cyberpunk Neon": cyberpunk,
    "Oil Painting": oil,
    "Chinese Ink Wash": ink_wash,
    "Watercolor": watercolour,
    "Pixel Art": pixel_art,
    "Clay Stop Motion": clay,
    "3D Render": render_3d,
    "Film Noir": noir,
    "Vintage 1950s Film": vintage,
    "Paper Cut": paper_cut,
}


def _luma(image: Tensor) -> Tensor:
    weights = torch.tensor((0.299, 0.587, 0.114), device=image.device).view(1, 3, 1, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def _saturate(image: Tensor, factor: float) -> Tensor:
    luma = _luma(image)
    return luma + (image - luma) * factor


def _contrast(image: Tensor, amount: float) -> Tensor:
    """Bend towards an S-curve."""
    x = image.clamp(0.0, 1.0)
    return torch.lerp(x, x * x * (3.0 - 2.0 * x), amount)


def _steps(x: Tensor, levels: float, soft: float) -> Tensor:
    """Round to `levels` + 1 tones; `soft` of each step is a smooth ramp."""
    scaled = x.clamp(0.0, 1.0) * levels
    whole = torch.floor(scaled)
    part = scaled - whole
    ramp = smoothstep(0.5 - 0.5 * soft, 0.5 + 0.5 * soft, part) if soft > 0 else (part > 0.5).to(x.dtype)
    return (whole + ramp) / levels


def _soft_light(image: Tensor, colour: Colour, amount: Tensor) -> Tensor:
    """Tint without moving black and white much."""
    tint = rgb(colour, image)
    return torch.lerp(image, image * (0.35 + 1.05 * tint) + 0.06 * tint, amount.expand_as(image))


def _vignette(view: View, amount: float) -> Tensor:
    far = (view.sx / view.width) ** 2 + (view.sy / view.height) ** 2
    return (1.0 - amount * smoothstep(0.12, 0.52, far)).unsqueeze(1)


def _dabs(view: View, angle: float, long: float, short: float) -> Tensor:
    """Brush marks in staggered rows along `angle`, each lighter or darker than the next; about -1 to 1."""
    u, v = rotate(view.sx, view.sy, angle)
    v = v + 0.012 * torch.sin(9.0 * u)
    row = torch.floor(v / short)
    u = u + long * noise(row, 3.0, 1.0)
    column = torch.floor(u / long)
    tone = noise(column * 7.0 + row * 13.0, 5.0, 2.0) * 2.0 - 1.0
    across = v / short - row - 0.5
    along = u / long - column - 0.5
    shape = smoothstep(0.5, 0.30, across.abs()) * smoothstep(0.5, 0.36, along.abs())
    return shape * (0.75 * tone + 0.5 * across)


def _line(view: View, distance: Tensor, width: float) -> Tensor:
    return coverage(distance.abs() - 0.5 * width, view.pixel)


def _seal(view: View, image: Tensor) -> Tensor:
    """A red seal with two carved strokes in the lower left corner."""
    u, v = view.sx + 0.5 * view.width - 0.10, view.sy + 0.5 * view.height - 0.10
    stone = box(u, v, 0.0, 0.0, 0.042, 0.042, 0.010)
    carved = torch.minimum(box(u, v, 0.0, 0.014, 0.026, 0.005), box(u, v, 0.0, -0.004, 0.006, 0.028))
    mark = coverage(torch.maximum(stone, -carved), view.pixel)
    return over(image, (0.78, 0.13, 0.10), 0.92 * mark)
