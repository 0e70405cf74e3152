"""Weights under WAN's original names, made by a recipe that another program can follow: for the comparison with the
reference implementation, whose numbers were made from the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

DIM, FFN_DIM, TEXT_DIM, FREQ_DIM, CHANNELS, LAYERS = 48, 64, 16, 32, 8, 2


def shapes() -> dict[str, tuple[int, ...]]:
    """By original name, of the architecture of `tests.tiny.transformer`."""
    found: dict[str, tuple[int, ...]] = {
        "patch_embedding.weight": (DIM, CHANNELS, 1, 2, 2),
        "patch_embedding.bias": (DIM,),
    }

    def linear(name: str, wide: int, narrow: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (wide, narrow), (wide,)

    linear("text_embedding.0", DIM, TEXT_DIM)
    linear("text_embedding.2", DIM, DIM)
    linear("time_embedding.0", DIM, FREQ_DIM)
    linear("time_embedding.2", DIM, DIM)
    linear("time_projection.1", 6 * DIM, DIM)
    for i in range(LAYERS):
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                linear(f"blocks.{i}.{attention}.{part}", DIM, DIM)
            for part in "qk":
                found[f"blocks.{i}.{attention}.norm_{part}.weight"] = (DIM,)
        found[f"blocks.{i}.norm3.weight"] = found[f"blocks.{i}.norm3.bias"] = (DIM,)
        linear(f"blocks.{i}.ffn.0", FFN_DIM, DIM)
        linear(f"blocks.{i}.ffn.2", DIM, FFN_DIM)
        found[f"blocks.{i}.modulation"] = (1, 6, DIM)
    found["head.modulation"] = (1, 2, DIM)
    linear("head.head", 4 * CHANNELS, DIM)
    return found


def weights() -> dict[str, Tensor]:
    """Every tensor from one generator, in the order of the sorted names: normal, of deviation 0.2; norms around 1."""
    generator = torch.Generator().manual_seed(2026)
    made: dict[str, Tensor] = {}
    for name, shape in sorted(shapes().items()):
        tensor = 0.2 * torch.randn(shape, generator=generator)
        made[name] = 1 + tensor if "norm" in name and name.endswith("weight") else tensor
    return made
