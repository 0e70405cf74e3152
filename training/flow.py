"""Rectified flow: noise levels, inputs, targets and the losses of stage 2.

Owns the arithmetic of x_s = (1 - s) x0 + s e and v = e - x0. Does not know optimisers or where latents come from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.config import BLOCK_LATENTS
from training.forward import Pieces, cached_forward, separate_forward, teacher_forced_forward
from training.latents import Batch
from training.networks import Networks, embed_prompts

SHIFT = 3.0
CONTEXT_NOISE = 0.15
"""Largest noise level put on the clean context in training: a model's own context is never exact."""


SUBJECT_WEIGHT = 3.0
SUBJECT_SIGMA = 0.85
"""Below this noise level errors on a subject count `SUBJECT_WEIGHT` times: it is a twentieth of a picture's area and
most of what its caption says. Above it its place is still open, and weighting would pull subjects everywhere."""


CARRIED_SHARE = 0.5
CARRIED_SIGMA = 0.8
"""How often a later block starts as the sampler's `start` makes it, from the latent before it, carried forward and
noised to at least this level; then every state on the way from there to the clean latents is trained. Who was never
shown that takes the carried picture for the clean one, and nothing moves."""


def shift(u: Tensor, by: float = SHIFT) -> Tensor:
    """Move noise levels 0..1 towards noise, as the sampler's `flow_shift` does."""
    return by * u / (1 + (by - 1) * u)


def random_sigmas(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Noise levels for training: mostly logit-normal, some uniform, shifted."""
    u = torch.sigmoid(torch.randn(shape, device=device))
    return shift(torch.where(torch.rand(shape, device=device) < 0.25, torch.rand(shape, device=device), u))


def spaced_sigmas(rows: int, copies: int, device: torch.device) -> Tensor:
    """Noise levels [rows, copies] of the same distribution, each row's spread evenly over it: a calmer gradient."""
    u = (torch.arange(copies, device=device) + torch.rand(rows, copies, device=device)) / copies
    logit_normal = torch.sigmoid(torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4)))
    return shift(torch.where(torch.rand(rows, 1, device=device) < 0.25, u, logit_normal))


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


def cell_weights(subject: Tensor, sigmas: Tensor) -> Tensor:
    """Loss weight of each latent cell [B, F, h, w] from `Batch.subject` and the noise levels [B, F]."""
    fixed = (sigmas < SUBJECT_SIGMA).float()[..., None, None]
    return 1 + (SUBJECT_WEIGHT - 1) * subject * fixed


def weighted(velocity: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean squared error of [B, C, F, h, w] under weights [B, F, h, w]."""
    error = (velocity.float() - target).square().mean(1)
    return (error * weights).sum() / weights.sum()


def carried(clean: Tensor, noise: Tensor, sigmas: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """States on the straight line from a block's start to its clean latents, and the velocity along it.

    Args:
        clean, noise: [B, C, 1 + 3m, h, w].
        sigmas: noise levels [B, 1 + 3m] of the states.
        starts: noise levels [B, 1 + 3m], not below `sigmas`, to which the last latent of the block before was noised
            to start from; 1 starts from noise alone.

    Returns:
        Both [B, C, 1 + 3m, h, w].
    """
    before = clean[:, :, :-1:BLOCK_LATENTS].repeat_interleave(BLOCK_LATENTS, 2)
    before = torch.cat([clean[:, :, :1], before], 2)
    level = starts[:, None, :, None, None]
    velocity = (noised(before, noise, starts) - clean) / level
    return clean + sigmas[:, None, :, None, None] * velocity, velocity


def random_starts(sigmas: Tensor) -> Tensor:
    """For noise levels [B, 1 + m] of blocks the levels that these start from, as `carried` takes them."""
    somewhere = CARRIED_SIGMA + (1 - CARRIED_SIGMA) * torch.rand_like(sigmas)
    is_carried = torch.rand_like(sigmas) < CARRIED_SHARE
    is_carried[:, 0] = False  # nothing is before it
    return torch.where(is_carried, torch.maximum(sigmas, somewhere), 1.0)


def causal_loss(networks: Networks, batch: Batch, pieces: Pieces | None = None) -> Tensor:
    """Teacher forcing: each block at its own noise level, with (slightly noised) clean blocks before it as context."""
    clean = batch.latents
    blocks = 1 + (clean.shape[2] - 1) // BLOCK_LATENTS
    per_block = random_sigmas((len(clean), blocks), clean.device)
    sigmas = spread(per_block)
    noise = torch.randn_like(clean)
    level = (
        CONTEXT_NOISE
        * torch.rand(len(clean), device=clean.device)
        * (torch.rand(len(clean), device=clean.device) < 0.5)
    )
    context = noised(clean, torch.randn_like(clean), level[:, None].expand_as(sigmas))
    embeds = embed_prompts(networks.text_encoder, batch.token_ids)
    inputs, target = carried(clean, noise, sigmas, spread(random_starts(per_block)))
    velocity = teacher_forced_forward(
        networks.transformer,
        context,
        inputs,
        timesteps(sigmas),
        embeds,
        batch.positions,
        pieces=pieces,
    )
    weights = block_weights(batch)[..., None, None] * cell_weights(batch.subject, sigmas)
    return weighted(velocity, target, weights)


def image_loss(networks: Networks, batch: Batch, copies: int, pieces: Pieces | None = None) -> Tensor:
    """The first block's loss on single latents [B, C, 1, h, w], each at `copies` noise levels."""
    clean = batch.latents.expand(-1, -1, copies, -1, -1)
    sigmas = spaced_sigmas(len(clean), copies, clean.device)
    noise = torch.randn_like(clean)
    embeds = embed_prompts(networks.text_encoder, batch.token_ids)
    inputs = noised(clean, noise, sigmas), timesteps(sigmas), embeds
    velocity = separate_forward(networks.transformer, *inputs, pieces=pieces)
    return weighted(velocity, noise - clean, cell_weights(batch.subject, sigmas))


def whole_clip_loss(networks: Networks, batch: Batch, pieces: Pieces | None = None) -> Tensor:
    """All latents at one noise level, each sees all: what diffusers' pipeline does, and the teacher of stage 3."""
    clean = batch.latents
    sigmas = random_sigmas((len(clean), 1), clean.device).expand(-1, clean.shape[2])
    noise = torch.randn_like(clean)
    embeds = embed_prompts(networks.text_encoder, batch.token_ids)
    inputs = noised(clean, noise, sigmas), timesteps(sigmas), embeds, batch.positions
    velocity, _ = cached_forward(networks.transformer, *inputs, pieces=pieces)
    return weighted(velocity, noise - clean, cell_weights(batch.subject, sigmas))
