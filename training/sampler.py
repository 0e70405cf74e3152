"""Block-causal generation with the training code's own passes: plain, without engines, for looking and measuring.

Owns the loop over blocks and Euler steps, guidance included. Does not know files or pictures. `pipeline/` has its own,
faster walk; both must give the same numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import BLOCK_LATENTS
from training.flow import shift, timesteps
from training.forward import KeysValues, Pieces, cached_forward
from training.networks import Networks


@dataclass(frozen=True, slots=True)
class Sampling:
    """How clips are made.

    Attributes:
        steps: Euler steps of a whole schedule.
        flow_shift: moves the schedule's noise levels towards noise.
        guidance_scale: 1 is none.
        denoise_strength: above 0, at most 1: the part of the schedule that later blocks run.
    """

    steps: int = 4
    flow_shift: float = 3.0
    guidance_scale: float = 1.0
    denoise_strength: float = 0.75


def schedule(steps: int, flow_shift: float, strength: float = 1.0) -> list[float]:
    """Noise levels from the first one run down to 0: ceil(steps x strength) + 1 numbers."""
    run = max(1, math.ceil(steps * strength))
    u = 1 - torch.arange(steps - run, steps + 1, dtype=torch.float64) / steps
    return shift(u, flow_shift).tolist()


def denoise(
    networks: Networks,
    x: Tensor,
    sigmas: list[float],
    embeds: Tensor,
    positions: Tensor,
    context: list[KeysValues] | None,
    *,
    guidance_scale: float = 1.0,
    pieces: Pieces | None = None,
) -> Tensor:
    """Euler steps of one block.

    Args:
        x: [B, C, F, h, w] at the noise level `sigmas[0]`.
        sigmas: falling noise levels, the last one 0.
        embeds: [B, T, text_dim], or with guidance [2B, T, text_dim], the empty prompt's behind.
        positions: [1 or B, F].

    Returns:
        Clean latents [B, C, F, h, w].
    """
    guided = guidance_scale != 1.0
    copies = 2 if guided else 1
    for now, then in itertools.pairwise(sigmas):
        times = timesteps(torch.full((copies * len(x), x.shape[2]), now, device=x.device, dtype=torch.float64))
        inputs = x.repeat(copies, 1, 1, 1, 1), times, embeds, positions
        velocity, _ = cached_forward(networks.transformer, *inputs, context, pieces=pieces)
        if guided:
            wanted, empty = velocity.chunk(2)
            velocity = empty + guidance_scale * (wanted - empty)
        x = x + (then - now) * velocity
    return x


def start(noise: Tensor, last: Tensor | None, sigma: float) -> Tensor:
    """Where a block starts: noise, or at a strength below one the last context latent carried forward and noised."""
    return noise if last is None or sigma >= 1 else (1 - sigma) * last.expand_as(noise) + sigma * noise


@torch.no_grad()
def context_of(
    networks: Networks,
    clean: Tensor,
    embeds: Tensor,
    positions: Tensor,
    context: list[KeysValues] | None,
    pieces: Pieces | None = None,
) -> list[KeysValues]:
    """Keys and values of clean latents, from one pass at timestep 0 over the context before them."""
    times = torch.zeros(len(clean), clean.shape[2], device=clean.device, dtype=torch.long)
    return cached_forward(networks.transformer, clean, times, embeds, positions, context, pieces=pieces)[1]


@torch.no_grad()
def generate(
    networks: Networks,
    prompt_embeds: Tensor,
    empty_embeds: Tensor,
    *,
    latent_size: tuple[int, int],
    num_latents: int,
    sampling: Sampling,
    noise: Callable[[tuple[int, ...]], Tensor],
) -> Iterator[Tensor]:
    """Make clips block by block.

    Args:
        prompt_embeds, empty_embeds: [B, T, text_dim] of the prompts and of the empty prompt.
        latent_size: height and width of the latents.
        num_latents: 1 + 3k.
        noise: draws a standard normal tensor of a shape, on the networks' device.

    Yields:
        Clean latents of each block, [B, C, 1 or 3, h, w], normalised.
    """
    guided = sampling.guidance_scale != 1.0
    embeds = torch.cat([prompt_embeds, empty_embeds]) if guided else prompt_embeds
    device, channels = prompt_embeds.device, networks.transformer.config.in_channels
    sink: list[KeysValues] | None = None
    window: list[KeysValues] | None = None
    last: Tensor | None = None
    for first in [0, *range(1, num_latents, BLOCK_LATENTS)]:
        length = 1 if first == 0 else BLOCK_LATENTS
        positions = torch.arange(first, first + length, device=device)[None]
        context = joined(sink, window)
        sigmas = schedule(sampling.steps, sampling.flow_shift, 1.0 if last is None else sampling.denoise_strength)
        x = start(noise((len(prompt_embeds), channels, length, *latent_size)), last, sigmas[0])
        x = denoise(networks, x, sigmas, embeds, positions, context, guidance_scale=sampling.guidance_scale)
        own = context_of(networks, x.repeat(2 if guided else 1, 1, 1, 1, 1), embeds, positions, context)
        sink, window = (own, None) if sink is None else (sink, own)
        last = x[:, :, -1:]
        yield x


def joined(sink: list[KeysValues] | None, window: list[KeysValues] | None) -> list[KeysValues] | None:
    """What a block looks at besides itself."""
    if sink is None or window is None:
        return sink
    return [(torch.cat([s[0], w[0]], 1), torch.cat([s[1], w[1]], 1)) for s, w in zip(sink, window, strict=True)]
