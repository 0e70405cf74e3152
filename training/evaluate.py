"""A first measure of obedience: colour and direction of single subjects in a plain studio, read from pixels.

Owns the prompts and the two readings. Does not know networks. The full judges are `bench.quality`'s.
"""

from __future__ import annotations


from dataclasses import dataclass

import torch
from torch import Tensor

HUES: dict[str, tuple[str, float, float]] = {  # Chinese name; hue in degrees, from and to
    "red": ("红色", -16, 14),
    "yellow": ("黄色", 40, 66),
    "green": ("绿色", 85, 160),
    "blue": ("蓝色", 195, 250),
    "purple": ("紫色", 255, 300),
    "orange": ("橙色", 14, 40),
}
SUBJECTS: dict[str, str] = {"ball": "一只{}的球", "car": "一辆{}的汽车", "cat": "一只{}的猫", "box": "一个{}的箱子"}
MOTIONS: dict[str, tuple[str, str]] = {
    "right": ("{}从左向右移动", "a {} moving from left to right"),
    "left": ("{}从右向左移动", "a {} moving from right to left"),
}
MIN_SATURATION = 0.35
MIN_SHIFT = 0.02
"""Of the frame's width: less counts as no motion."""


@dataclass(frozen=True, slots=True)
class SimplePrompt:
    """A prompt with what it must show."""

    text: str
    colour: str
    direction: str


def simple_prompts() -> list[SimplePrompt]:
    """Every colour, subject and direction, in Chinese and English: 96 prompts."""
    made: list[SimplePrompt] = []
    for colour, (chinese, _, _) in HUES.items():
        for subject, words in SUBJECTS.items():
            for direction, (zh, en) in MOTIONS.items():
                made.append(SimplePrompt(zh.format(words.format(chinese)), colour, direction))
                made.append(SimplePrompt(en.format(f"{colour} {subject}"), colour, direction))
    return made


def read_colour(clip: Tensor) -> str:
    """The name of the hue that most saturated pixels of the middle frame have, or "none"; clip is [3, F, H, W] in [-1, 1]."""
    hue, saturated = _hue(clip[:, clip.shape[1] // 2])
    counts = {name: int((_within(hue, low, high) & saturated).sum()) for name, (_, low, high) in HUES.items()}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] > 0.003 * saturated.numel() else "none"


def read_direction(clip: Tensor, colour: str) -> str:
    """Where the pixels of a colour go between a quarter and the end of the clip: "left", "right" or "still"."""
    _, low, high = HUES[colour]
    centres: list[float] = []
    for index in torch.linspace(0, clip.shape[1] - 1, 9).round().long().tolist():
        hue, saturated = _hue(clip[:, index])
        mask = (_within(hue, low, high) & saturated).float()
        if mask.sum() > 0.002 * mask.numel():
            columns = torch.linspace(0, 1, mask.shape[1], device=mask.device)
            centres.append(float((mask * columns).sum() / mask.sum()))
    if len(centres) < 2 or abs(centres[-1] - centres[0]) < MIN_SHIFT:
        return "still"
    return "right" if centres[-1] > centres[0] else "left"


def _hue(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Hue in degrees [H, W] and which pixels are saturated and bright enough to have one."""
    red, green, blue = ((frame + 1) / 2).clamp(0, 1)
    top, bottom = frame.amax(0) / 2 + 0.5, frame.amin(0) / 2 + 0.5
    spread = (top - bottom).clamp(min=1e-6)
    sector = torch.where(
        top == red, (green - blue) / spread, torch.where(top == green, 2 + (blue - red) / spread, 4 + (red - green) / spread)
    )
    saturated = (spread / top.clamp(min=1e-6) > MIN_SATURATION) & (top > 0.2)
    return sector * 60, saturated


def _within(hue: Tensor, low: float, high: float) -> Tensor:
    return (hue - low) % 360 < high - low


