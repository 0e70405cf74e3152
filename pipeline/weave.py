"""The weave that a transformer leaves on what is flat, and its removal from clean latents.

Owns what is fine in latents, the usual token of it, and taking that away. A transformer writes each token, a patch of
cells, with the same few outputs: what it adds to all of them alike is a weave with a token's period. Pictures know no
tokens: their flat parts are flat, and only windows that stand in rows repeat by chance as they do. Does not know which
checkpoints weave, nor blocks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SIDE = 2
"""Of a token, in cells: `patch_size` of every WAN checkpoint is (1, 2, 2)."""
_NEAR = 0.1
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
    tokens = fine(latents).unflatten(4, (-1, SIDE)).unflatten(3, (-1, SIDE))
    tokens = tokens.transpose(3, 4).flatten(4, 5).transpose(4, 5)  # [B, C, F, 2, 2, tokens]
    known = tokens.detach()
    counts = 1 / (1 + ((known - known.median(5, keepdim=True).values) / _NEAR).square())
    return (counts * tokens).sum(5) / counts.sum(5)


def unweave(latents: Tensor) -> Tensor:
    """Latents [B, C, F, h, w] without the weave of each."""
    found = weave(latents)
    found = found - found.mean((3, 4), keepdim=True)
    rows, columns = found.mean(4, keepdim=True), found.mean(3, keepdim=True)
    # A mean over 3 × 3 cells turns stripes into a third of them and a chessboard into a ninth, the stripes with the
    # other sign: `fine` holds 4 / 3 and 8 / 9 of what is in the latents.
    pattern = (rows + columns) / (4 / 3) + (found - rows - columns) / (8 / 9)
    height, width = latents.shape[3:]
    return latents - pattern.repeat(1, 1, 1, height // SIDE, width // SIDE)
