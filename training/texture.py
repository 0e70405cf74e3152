"""What is fine in latents: how much of it there is, and how much of it repeats from token to token.

Owns both numbers. Does not know networks. A transformer writes each token, a patch of 2 × 2 cells, with the same few
outputs: what it adds to all of them alike is a weave on everything that is flat. The world knows no tokens: its flat
parts are flat, and only the windows of a city repeat by chance as they do.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from training import config

_, TOKEN_HEIGHT, TOKEN_WIDTH = config.TRANSFORMER["patch_size"]
NEAR = 0.1
"""Distance from the middle token at which another counts half: edges are no weave."""


def fine(latents: Tensor) -> Tensor:
    """What a mean over 3 × 3 cells leaves of [B, C, F, h, w]."""
    rows = latents.transpose(1, 2).flatten(0, 1)
    left = rows - F.avg_pool2d(rows, 3, 1, 1, count_include_pad=False)
    return left.unflatten(0, (len(latents), -1)).transpose(1, 2)


def weave(latents: Tensor) -> Tensor:
    """The usual token of what is fine in [B, C, F, h, w]: [B, C, F, 2, 2].

    A mean in which tokens count less the further they are from the median (Cauchy's weights), with gradients.
    """
    tokens = fine(latents).unflatten(4, (-1, TOKEN_WIDTH)).unflatten(3, (-1, TOKEN_HEIGHT))
    tokens = tokens.transpose(3, 4).flatten(4, 5).transpose(4, 5)  # [B, C, F, 2, 2, tokens]
    known = tokens.detach()
    counts = 1 / (1 + ((known - known.median(5, keepdim=True).values) / NEAR).square())
    return (counts * tokens).sum(5) / counts.sum(5)


def detail(latents: Tensor) -> list[float]:
    """By latent of a clip, the deviation of what is fine: mean over clips and channels."""
    return [round(float(x), 3) for x in fine(latents).std((3, 4)).mean((0, 1))]


def woven(latents: Tensor) -> list[float]:
    """By latent of a clip, the size of its weave: root of the mean square over clips, channels and cells."""
    return [round(float(x), 3) for x in weave(latents).square().mean((0, 1, 3, 4)).sqrt()]
