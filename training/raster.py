"""Drawing with signed distances on batches of clips: shapes, coverage, and a figure that is painted part by part.

Every coordinate or parameter is a float or a tensor that broadcasts to [B, F, H, W]; distances are negative inside.
A colour is a triple of floats or a tensor [B, 3, 1, 1, 1] in [0, 1]. Knows no subject, scene or style.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Value = Tensor | float
Colour = Tensor | tuple[float, float, float]


def circle(x: Tensor, y: Tensor, cx: Value, cy: Value, radius: Value) -> Tensor:
    """Distance to a disc."""
    return torch.hypot(*torch.broadcast_tensors(x - cx, y - cy)) - radius


def ellipse(x: Tensor, y: Tensor, cx: Value, cy: Value, rx: float, ry: float, angle: Value = 0.0) -> Tensor:
    """Distance to an ellipse turned by `angle` radians, exact to first order at its border."""
    u, v = rotate(x - cx, y - cy, angle)
    u, v = torch.broadcast_tensors(u, v)
    unit = torch.hypot(u / rx, v / ry)
    slope = torch.hypot(u / (rx * rx), v / (ry * ry))
    return torch.where(slope > 1e-4, unit * (unit - 1.0) / slope.clamp_min(1e-4), -min(rx, ry))


def box(x: Tensor, y: Tensor, cx: Value, cy: Value, hx: Value, hy: Value, corner: float = 0.0) -> Tensor:
    """Distance to a rectangle of half sizes hx, hy whose corners are rounded."""
    u, v = torch.broadcast_tensors((x - cx).abs() - hx + corner, (y - cy).abs() - hy + corner)
    return torch.hypot(u.clamp_min(0.0), v.clamp_min(0.0)) + torch.maximum(u, v).clamp_max(0.0) - corner


def limb(
    x: Tensor, y: Tensor, ax: Value, ay: Value, bx: Value, by: Value, ra: float, rb: float | None = None
) -> Tensor:
    """Distance to a rod from a to b whose radius goes from ra to rb."""
    px, py = x - ax, y - ay
    dx, dy = bx - ax, by - ay
    along = ((px * dx + py * dy) / (dx * dx + dy * dy + 1e-8)).clamp(0.0, 1.0)
    radius = ra if rb is None else ra + (rb - ra) * along
    return torch.hypot(*torch.broadcast_tensors(px - along * dx, py - along * dy)) - radius


def polygon(x: Tensor, y: Tensor, points: Sequence[tuple[Value, Value]], corner: float = 0.0) -> Tensor:
    """Distance to a convex polygon (counter-clockwise, y up), exact inside and near its sides."""
    d: Tensor | None = None
    for (ax, ay), (bx, by) in zip(points, (*points[1:], points[0]), strict=True):
        dx, dy = bx - ax, by - ay
        length = (
            torch.hypot(dx, dy) if isinstance(dx, Tensor) and isinstance(dy, Tensor) else (dx * dx + dy * dy) ** 0.5
        )
        side = ((x - ax) * dy - (y - ay) * dx) / length
        d = side if d is None else torch.maximum(d, side)
    assert d is not None
    fixed = [(ax, ay) for ax, ay in points if not isinstance(ax, Tensor) and not isinstance(ay, Tensor)]
    if len(fixed) == len(points):  # beyond a sharp corner the sides alone are far too near: bound by a circle
        cx, cy = sum(ax for ax, _ in fixed) / len(fixed), sum(ay for _, ay in fixed) / len(fixed)
        d = torch.maximum(d, circle(x, y, cx, cy, max(math.hypot(ax - cx, ay - cy) for ax, ay in fixed)))
    return d - corner


def ring(d: Tensor, width: float) -> Tensor:
    """The line of `width` along the border of a shape."""
    return d.abs() - 0.5 * width


def union(*ds: Tensor) -> Tensor:
    """All shapes together."""
    total = ds[0]
    for d in ds[1:]:
        total = torch.minimum(total, d)
    return total


def cut(d: Tensor, hole: Tensor) -> Tensor:
    """The first shape without the second."""
    return torch.maximum(d, -hole)


def rotate(x: Tensor, y: Tensor, angle: Value) -> tuple[Tensor, Tensor]:
    """Coordinates in a frame turned by `angle` radians counter-clockwise."""
    if not isinstance(angle, Tensor):
        if angle == 0.0:
            return x, y
        c, s = math.cos(angle), math.sin(angle)
    else:
        c, s = angle.cos(), angle.sin()
    return c * x + s * y, c * y - s * x


def coverage(d: Tensor, px: Value) -> Tensor:
    """How much of a pixel of size px the shape covers, 0 to 1."""
    return (0.5 - d / px).clamp(0.0, 1.0)


def smoothstep(low: Value, high: Value, x: Tensor) -> Tensor:
    """0 below low, 1 above high, smooth between."""
    u = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)


def noise(cell: Tensor, seed: Value, salt: float) -> Tensor:
    """A fixed pseudo-random number in [0, 1) for each whole number."""
    return torch.frac(torch.sin(cell * 12.9898 + seed * 3.2331 + salt * 7.133) * 437.585 + 500.0)


def wrap(x: Tensor, period: Value) -> Tensor:
    """x shifted by whole periods into [-period / 2, period / 2)."""
    return torch.remainder(x + period * 0.5, period) - period * 0.5


def rgb(colour: Colour, like: Tensor) -> Tensor:
    """A colour as a tensor that broadcasts to [B, 3, F, H, W]."""
    return colour if isinstance(colour, Tensor) else _constant(colour, like.device)


@functools.cache
def _constant(colour: tuple[float, float, float], device: torch.device) -> Tensor:
    """A fixed colour on a device, copied there once: a copy a use would stall the GPU."""
    return torch.tensor(colour, device=device).view(1, 3, 1, 1, 1)


def over(image: Tensor, colour: Colour, alpha: Tensor) -> Tensor:
    """image [B, 3, F, H, W] with `colour` laid over it where alpha [B, F, H, W] says."""
    return torch.lerp(*torch.broadcast_tensors(image, rgb(colour, image), alpha.unsqueeze(1)))


def darker(colour: Tensor, amount: float) -> Tensor:
    """A deeper tone of the same colour."""
    return colour * (1.0 - amount)


def lighter(colour: Tensor, amount: float) -> Tensor:
    """A paler tone of the same colour."""
    return colour + (1.0 - colour) * amount


@dataclass(slots=True)
class Figure:
    """A subject while it is painted, in its own coordinates: standing at (0, 0), 1 high, facing +x.

    Attributes:
        x, y: coordinates, broadcasting to [B, F, H, W].
        t: seconds, [B, F, 1, 1].
        stride: phase of the subject's cycle in radians, broadcasting to [B, F, H, W].
        going: 1 where the subject moves across the frame, else 0, [B, 1, 1, 1].
        px: size of a pixel in these coordinates.
        colour: the subject's own colour, [B, 3, 1, 1, 1].
        image: what is painted so far, [B, 3, F, H, W].
        outline: distance to everything painted, or None before the first part.
        glow: light that the subject gives off, [B, 3, F, H, W], or None.
    """

    x: Tensor
    y: Tensor
    t: Tensor
    stride: Tensor
    going: Tensor
    px: Tensor
    colour: Tensor
    image: Tensor = field(init=False)
    outline: Tensor | None = None
    glow: Tensor | None = None

    def __post_init__(self) -> None:
        self.image = self.colour

    def part(self, d: Tensor, colour: Colour) -> None:
        """Paint a shape that belongs to the silhouette."""
        self.outline = d if self.outline is None else torch.minimum(self.outline, d)
        self.image = over(self.image, colour, coverage(d, self.px))

    def detail(self, d: Tensor, colour: Colour, opacity: Value = 1.0) -> None:
        """Paint a mark inside the silhouette so far."""
        assert self.outline is not None
        self.image = over(self.image, colour, coverage(torch.maximum(d, self.outline), self.px) * opacity)

    def shade(self, amount: Tensor) -> None:
        """Multiply what is painted so far by 1 + amount."""
        self.image = self.image * (1.0 + amount).unsqueeze(1)

    def shine(self, strength: Tensor, colour: Colour) -> None:
        """Add light around or on the subject."""
        light = strength.unsqueeze(1) * rgb(colour, strength)
        self.glow = light if self.glow is None else self.glow + light
