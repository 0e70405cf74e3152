"""Chained context: clean latents at timestep 0 stand in front of the block and are denoised with it, unchanged.

For bidirectional checkpoints that take an image condition (diffusers' `expand_timesteps`: a timestep for each latent).
Each forward is a short clip of its own, so positions count from its first context latent. Owns what that context is:
the latents before the block as they were made (any number of them), or the clip's last frame encoded alone, which is
what the public TI2V-5B was trained with. Does not know noise, guidance or prompts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.blocks import Block
from pipeline.denoise import Branch


class Chained:
    """`pipeline.denoise.Strategy` for bidirectional checkpoints.

    Args:
        recode: the clip's last frame as a first-frame latent [1, C, 1, h, w]; None carries the latents themselves.
    """

    def __init__(self, recode: Callable[[], Tensor] | None) -> None:
        self._recode = recode
        self._kept: Tensor | None = None
        self._context: Tensor | None = None

    def begin(self, block: Block) -> None:
        self._context = self._kept
        if self._recode is not None and block.context:
            self._context = self._recode()

    def velocity(self, branch: Branch, latents: Tensor, timestep: float) -> Tensor:
        num_context = 0 if self._context is None else self._context.shape[2]
        whole = latents if self._context is None else torch.cat([self._context, latents], dim=2)
        timesteps = torch.full((whole.shape[2],), timestep, device=latents.device)
        timesteps[:num_context] = 0.0
        rotary = branch.rotary(0, whole)
        velocity = branch.transformer.velocity(whole, timesteps, branch.text, rotary, branch.no_cache())
        return velocity[:, :, num_context:]

    def remember(self, block: Block, latents: Tensor, upcoming: Block) -> None:
        assert upcoming.start == block.stop
        before = latents if self._kept is None else torch.cat([self._kept, latents], dim=2)
        self._kept = before[:, :, before.shape[2] - len(upcoming.context) :] if upcoming.context else None

    def forget(self, branch: Branch) -> None:
        """Nothing is kept by branch: the context is the same latents for all."""
