"""Rectified flow: noise levels, inputs, targets and the two losses of stage 2.

Owns the arithmetic of x_s = (1 - s) x0 + s e and v = e - x0. Does not know optimisers or where latents come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.config import BLOCK_LATENTS
from training.forward import Pieces, cached_forward, teacher_forced_forward
from training.latents import Batch
from training.networks import Networks, embed_prompts

SHIFT = 3.0
CONTEXT_NOISE = 0.15
"""Largest noise level put on the clean context in training: a model's own context is never exact."""


def shift(u: Tensor, by: float = SHIFT) -> Tensor:
    """Move noise levels 0..1 towards noise, as the sampler's `flow_shift` does."""
    return by * u / (1 + (by - 1) * u)


def random_sigmas(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Noise levels for training: mostly logit-normal, some uniform, shifted."""
    u = torch.sigmoid(torch.randn(shape, device=device))
    return shift(torch.where(torch.rand(shape, device=device) < 0.25, torch.rand(shape, device=device), u))


def spread(per_block: Tensor) -> Tensor:
    """[B, 1 + m] a block to [B, 1 + 3m] a latent."""
    return torch.cat([per_block[:, :1], per_block[:, 1:].repeat_interleave(BLOCK_LATENTS, 1)], 1)


def noised(clean: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """Mix [B, C, F, h, w] with noise by sigmas [B, F]."""
    level = sigmas[:, None, :, None, None]
    return (1 - level) * clean + level * noise


def timesteps(sigmas: Tensor) -> Tensor:
    """What the network is told: floor(1000 sigma), int64."""
    return (1000 * sigmas).long()


def block_weights(batch: Batch) -> Tensor:
    """[B, 10] loss weight of each latent: latent 0 counts double, a far sample's first block is context only."""
    weights = torch.ones_like(batch.positions, dtype=torch.float32)
    weights[:, 0] = 2.0
    weights[:, 1 : 1 + BLOCK_LATENTS] = (~batch.is_far).float()[:, None]
    return weights


def causal_loss(networks: Networks, batch: Batch, pieces: Pieces | None = None) -> Tensor:
    """Teacher forcing: each block at its own noise level, with (slightly noised) clean blocks before it as context."""
    clean = batch.latents
    blocks = 1 + (clean.shape[2] - 1) // BLOCK_LATENTS
    sigmas = spread(random_sigmas((len(clean), blocks), clean.device))
    noise = torch.randn_like(clean)
    level = (
        CONTEXT_NOISE
        * torch.rand(len(clean), device=clean.device)
        * (torch.rand(len(clean), device=clean.device) < 0.5)
    )
    context = noised(clean, torch.randn_like(clean), level[:, None].expand_as(sigmas))
    embeds = embed_prompts(networks.text_encoder, batch.token_ids)
    velocity = teacher_forced_forward(
        networks.transformer,
        context,
        noised(clean, noise, sigmas),
        timesteps(sigmas),
        embeds,
        batch.positions,
        pieces=pieces,
    )
    error = (velocity - (noise - clean)).square().mean((1, 3, 4))
    weights = block_weights(batch)
    return (error * weights).sum() / weights.sum()


def whole_clip_loss(networks: Networks, batch: Batch, pieces: Pieces | None = None) -> Tensor:
    """All latents at one noise level, each sees all: what diffusers' pipeline does, and the teacher of stage 3.

    For images this is the first block's own loss.
    """
    clean = batch.latents
    sigmas = random_sigmas((len(clean), 1), clean.device).expand(-1, clean.shape[2])
    noise = torch.randn_like(clean)
    embeds = embed_prompts(networks.text_encoder, batch.token_ids)
    inputs = noised(clean, noise, sigmas), timesteps(sigmas), embeds, batch.positions
    velocity, _ = cached_forward(networks.transformer, *inputs, pieces=pieces)
    return (velocity - (noise - clean)).square().mean()
