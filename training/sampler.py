"""Block-causal generation with the training code's own passes: plain, without engines, for looking and measuring.

Owns the loop over blocks and Euler steps, guidance included. Does not know files or pictures. `pipeline/` has its own,
faster walk; both must give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import BLOCK_LATENTS
from training.flow import shift, timesteps
from training.forward import KeysValues, cached_forward
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
    copies = 2 if guided else 1
    device, channels = prompt_embeds.device, networks.transformer.config.in_channels
    sink: list[KeysValues] | None = None
    window: list[KeysValues] | None = None
    last: Tensor | None = None
    for first in [0, *range(1, num_latents, BLOCK_LATENTS)]:
        length = 1 if first == 0 else BLOCK_LATENTS
        positions = torch.arange(first, first + length, device=device)[None]
        context = _context(sink, window)
        strength = 1.0 if last is None else sampling.denoise_strength
        sigmas = schedule(sampling.steps, sampling.flow_shift, strength)
        x = noise((len(prompt_embeds), channels, length, *latent_size))
        if last is not None and sigmas[0] < 1:
            x = (1 - sigmas[0]) * last.expand_as(x) + sigmas[0] * x
        for now, then in zip(sigmas[:-1], sigmas[1:], strict=True):
            times = timesteps(torch.full((copies * len(x), length), now, device=device, dtype=torch.float64))
            inputs = x.repeat(copies, 1, 1, 1, 1), times, embeds, positions
            velocity, _ = cached_forward(networks.transformer, *inputs, context)
            if guided:
                wanted, empty = velocity.chunk(2)
                velocity = empty + sampling.guidance_scale * (wanted - empty)
            x = x + (then - now) * velocity
        clean = x.repeat(copies, 1, 1, 1, 1), torch.zeros_like(times), embeds, positions
        _, own = cached_forward(networks.transformer, *clean, context)
        sink, window = (own, None) if sink is None else (sink, own)
        last = x[:, :, -1:]
        yield x


def _context(sink: list[KeysValues] | None, window: list[KeysValues] | None) -> list[KeysValues] | None:
    if sink is None or window is None:
        return sink
    return [(torch.cat([s[0], w[0]], 1), torch.cat([s[1], w[1]], 1)) for s, w in zip(sink, window, strict=True)]
