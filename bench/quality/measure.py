"""What is read off one clip: the judges' answers a second, and flicker, sharpness and change at the seams of blocks.

Owns pixels to numbers. Does not know prompts, models or what is right.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.judges.labels import FRAME_OFFSETS, HEADS, SPAN
from bench.judges.network import Judge
from bench.judges.render import to_judge
from pipeline.blocks import Grid, Plan

FIRST, SECOND, LAST = "first", "second", "last"
_TWO_SECONDS = 48
_CHUNK = 24  # frames that are changed to float at once
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Measured:
    """Readings of one clip.

    Attributes:
        log_probabilities: by window (`FIRST`, `SECOND`, and `LAST` of a long clip), then by head, the classes' own.
        features: by window, of the judge's last layer.
        flicker: mean change of change of brightness from frame to frame, in 8-bit levels.
        sharpness: variance of the Laplacian of brightness, in squared 8-bit levels.
        motion: mean change between neighbouring frames inside latents, in 8-bit levels.
        border_change: mean change from the last frame of a block to the first of the next.
        inside_change: the same from latent to latent inside blocks.
        block_change: mean change between the middles of neighbouring blocks.
    """

    log_probabilities: dict[str, dict[str, list[float]]]
    features: dict[str, list[float]]
    flicker: float
    sharpness: float
    motion: float
    border_change: float
    inside_change: float
    block_change: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Measured:
        """Back from `to_json`."""
        return cls(**fields)

    def answer(self, head: str, windows: Sequence[str] = (FIRST, SECOND)) -> str:
        """The class that the windows together make most likely."""
        return HEADS[head][max(range(len(HEADS[head])), key=self._summed(head, windows).__getitem__)]

    def log_odds(self, head: str, value: str, windows: Sequence[str] = (FIRST, SECOND)) -> float:
        """How much more likely a class is than all others of its head, as a natural logarithm."""
        summed = [total / len(windows) for total in self._summed(head, windows)]
        chosen = HEADS[head].index(value)
        others = torch.tensor(summed[:chosen] + summed[chosen + 1 :]).logsumexp(0)
        return summed[chosen] - float(others)

    def _summed(self, head: str, windows: Sequence[str]) -> list[float]:
        return [sum(parts) for parts in zip(*(self.log_probabilities[w][head] for w in windows), strict=True)]


def window_starts(num_frames: int) -> dict[str, int]:
    """First frame of each window of a clip at 24 frames a second, of at least two seconds."""
    starts = {FIRST: 0, SECOND: _TWO_SECONDS - SPAN}
    return starts if num_frames <= _TWO_SECONDS else starts | {LAST: num_frames - SPAN}


def measure(frames: Tensor, plan: Plan, grid: Grid, judge: Judge) -> Measured:
    """Read one clip.

    Args:
        frames: uint8 [T, H, W, 3] RGB, 16:9, T at least 48; on the judge's device or not.
    """
    device = next(judge.parameters()).device
    starts = window_starts(len(frames))
    read, features = read_windows([frames[start : start + SPAN] for start in starts.values()], judge, device)
    borders, inside = seams(plan, grid)
    steps, bends = _changes(frames, device)
    within = sorted(set(range(1, len(frames))) - set(borders) - set(inside))
    middles = [first + grid.scale_temporal for first in borders if first + grid.scale_temporal < len(frames)]
    small = to_small(frames[middles], device) if middles else torch.zeros(0)
    return Measured(
        log_probabilities=dict(zip(starts, read, strict=True)),
        features=dict(zip(starts, features, strict=True)),
        flicker=_mean(bends),
        sharpness=sharpness(frames[::6], device),
        motion=_mean([steps[i - 1] for i in within]),
        border_change=_mean([steps[i - 1] for i in borders]),
        inside_change=_mean([steps[i - 1] for i in inside]),
        block_change=round(float((small[1:] - small[:-1]).abs().mean()), 4) if len(middles) > 1 else 0.0,
    )


def read_windows(
    windows: Sequence[Tensor], judge: Judge, device: torch.device
) -> tuple[list[dict[str, list[float]]], list[list[float]]]:
    """Log-probabilities by head and features of windows uint8 [SPAN, H, W, 3]."""
    seen: list[Tensor] = []
    for window in windows:
        chosen = window[list(FRAME_OFFSETS)].to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        seen.append(to_judge(chosen))
    reading = judge.read(torch.stack(seen))
    read = [
        {head: [round(value, 3) for value in reading.log_probabilities[head][row].tolist()] for head in HEADS}
        for row in range(len(windows))
    ]
    return read, [[round(value, 4) for value in row] for row in reading.features.tolist()]


def seams(plan: Plan, grid: Grid) -> tuple[list[int], list[int]]:
    """Frames that begin a later block, and frames that begin a latent inside a block; both come from a new latent."""

    def first_frame(latent: int) -> int:
        return 1 + grid.scale_temporal * (latent - 1)

    borders = [first_frame(block.start) for block in plan.blocks[1:]]
    inside = [first_frame(latent) for block in plan.blocks for latent in range(max(block.start, 0) + 1, block.stop)]
    return ([f for f in borders if f < plan.num_frames], [f for f in inside if f < plan.num_frames])


def sharpness(frames: Tensor, device: torch.device) -> float:
    """Variance of the Laplacian of brightness, over all of uint8 [T, H, W, 3]; [8-bit levels]²."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=device).view(1, 1, 3, 3)
    edges = [F.conv2d(_luma(part.to(device)).unsqueeze(1), kernel).var((1, 2, 3)) for part in frames.split(_CHUNK)]
    return round(float(torch.cat(edges).mean()), 3)


def flicker(frames: Tensor, device: torch.device) -> float:
    """As `Measured.flicker`, of uint8 [T, H, W, 3]."""
    return _mean(_changes(frames, device)[1])


def psnr(one: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of clips [..., 3, H, W] in [-1, 1]."""
    error = float((one.float() - other.float()).square().mean())
    return 10.0 * math.log10(4.0 / max(error, 1e-10))


def to_small(frames: Tensor, device: torch.device) -> Tensor:
    """Brightness and colour of uint8 [T, H, W, 3] at the judges' size, float [T, 3, h, w] in 8-bit levels."""
    return to_judge(frames.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0).float()


def frechet(one: Tensor, other: Tensor) -> float:
    """Fréchet distance (Heusel et al., arXiv 1706.08500) between two sets of features [N, D]."""
    one, other = one.double(), other.double()
    first, second = one.T.cov(), other.T.cov()
    root = _root(first)
    mixed = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0.0).sqrt().sum()
    spread = first.trace() + second.trace() - 2.0 * mixed
    return float((one.mean(0) - other.mean(0)).square().sum() + spread)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp_min(0.0).sqrt()) @ vectors.T


def _changes(frames: Tensor, device: torch.device) -> tuple[list[float], list[float]]:
    """Mean absolute first (T - 1) and second (T - 2) differences of brightness over time, in 8-bit levels."""
    steps: list[float] = []
    bends: list[float] = []
    for part in _overlapping(frames):
        luma = _luma(part.to(device))
        change = luma[1:] - luma[:-1]
        new = change if not steps else change[1:]
        steps += new.abs().mean((1, 2)).tolist()
        bends += (change[1:] - change[:-1]).abs().mean((1, 2)).tolist()
    return steps, bends


def _overlapping(frames: Tensor) -> Iterator[Tensor]:
    """Pieces that share two frames with their neighbours."""
    for first in range(0, max(len(frames) - 2, 1), _CHUNK):
        yield frames[first : first + _CHUNK + 2]


def _luma(frames: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=frames.device)
    return frames.float() @ weights


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
