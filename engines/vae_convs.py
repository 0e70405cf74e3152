"""The VAE decoder's upsampling in a form that a GPU computes faster: the same sums, rounded elsewhere.

Owns that form and putting it into a decoder. Does not know the walk through it, caches or a device.
"""

from __future__ import annotations

from typing import cast

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanDecoder3d, WanResample
from torch import Tensor, nn


class UpsampleConv(nn.Module):
    """Nearest upsampling to twice the size and a 3x3 convolution, as one 2x2 convolution of the small picture.

    An output pixel's nine taps fall on four pixels of the small picture; weights that fall together are added once,
    here. That is 16 products for every four outputs instead of 36, and there is no large picture to be convolved.

    Args:
        conv: 3x3, padding 1; behind nearest upsampling.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight = conv.weight.detach().float()
        phases = [
            [_merged(_merged(weight, dim=2, phase=row), dim=3, phase=column) for column in (0, 1)] for row in (0, 1)
        ]
        merged = torch.cat([phase for row in phases for phase in row])  # [4 * out, in, 2, 2]
        assert conv.bias is not None
        self.conv = nn.Conv2d(merged.shape[1], merged.shape[0], 2, padding=1, device=merged.device)
        self.conv.weight = nn.Parameter(merged.to(conv.weight.dtype))
        self.conv.bias = nn.Parameter(conv.bias.detach().repeat(4))

    def forward(self, x: Tensor) -> Tensor:
        """x [n, C, h, w] -> [n, out, 2h, 2w], channels innermost in memory."""
        n, _, h, w = x.shape
        y = self.conv(x).permute(0, 2, 3, 1).unflatten(3, (2, 2, -1))  # [n, h + 1, w + 1, row, column, out]
        rows = [
            torch.stack([y[:, row : row + h, column : column + w, row, column] for column in (0, 1)], dim=3)
            for row in (0, 1)
        ]
        return torch.stack(rows, dim=2).reshape(n, 2 * h, 2 * w, -1).permute(0, 3, 1, 2)


def merge_upsampling(decoder: WanDecoder3d) -> None:
    """Put an `UpsampleConv` into every upsampling of the decoder."""
    for name, module in list(decoder.named_modules()):
        if isinstance(module, WanResample):
            conv = cast(nn.Conv2d, cast(nn.Sequential, module.resample)[1])
            decoder.set_submodule(f"{name}.resample", UpsampleConv(conv))


def _merged(weight: Tensor, *, dim: int, phase: int) -> Tensor:
    """Three taps along `dim` to the two that even (phase 0) or odd output pixels need."""
    first, middle, last = weight.split(1, dim=dim)
    return torch.cat([first, middle + last] if phase == 0 else [first + middle, last], dim=dim)
