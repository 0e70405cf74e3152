"""What is fine in latents: how much of it there is, and how much of it repeats from token to token.

Owns both numbers. What is fine, and what a weave is, is `pipeline.weave`'s. Does not know networks.
"""

from __future__ import annotations

from torch import Tensor

from pipeline.weave import fine, weave


def detail(latents: Tensor) -> list[float]:
    """By latent of a clip, the deviation of what is fine: mean over clips and channels."""
    return [round(float(x), 3) for x in fine(latents).std((3, 4)).mean((0, 1))]


def woven(latents: Tensor) -> list[float]:
    """By latent of a clip, the size of its weave: root of the mean square over clips, channels and cells."""
    return [round(float(x), 3) for x in weave(latents).square().mean((0, 1, 3, 4)).sqrt()]
