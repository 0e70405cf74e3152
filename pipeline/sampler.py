"""Flow-matching schedule, Euler step and guidance, as pure functions; other steps are `pipeline.solver`'s.

x_σ = (1 − σ) x_0 + σ ε with velocity v = ε − x_0 (Lipman et al., arXiv 2210.02747); the schedule's shift is that
of Esser et al., arXiv 2403.03206, eq. 23. The σ and timesteps are those of diffusers' UniPCMultistepScheduler with
`use_flow_sigmas`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NUM_TRAIN_TIMESTEPS = 1000
_TINY = 1e-12
_BELOW_ONE = 1e-6  # diffusers keeps σ off 1, so the first timestep is 999, not 1000


def sigmas(
    num_steps: int, shift: float, strength: float = 1.0, limits: tuple[float, float] = (1.0, 1 / NUM_TRAIN_TIMESTEPS)
) -> tuple[float, ...]:
    """Noise levels from the first that runs down to 0: `steps_run` + 1 values.

    Args:
        num_steps: steps of the full schedule, at least 1.
        shift: 1 for uniform; larger spends more steps at high noise.
        strength: above 0, at most 1: the part of the schedule that runs (denoise_strength).
        limits: unshifted levels of the first step and of the one behind the last; diffusers' are the default, WAN's
            own code takes (0.999, 0).
    """
    first, last = limits
    u = [first - i * (first - last) / num_steps for i in range(num_steps)]
    shifted = [shift * x / (1 + (shift - 1) * x) for x in u]
    shifted[0] = min(shifted[0], 1 - _BELOW_ONE)
    return truncated((*shifted, 0.0), strength)


def truncated(levels: tuple[float, ...], strength: float) -> tuple[float, ...]:
    """The last `steps_run` steps of a schedule that ends at 0."""
    num_steps = len(levels) - 1
    return levels[num_steps - steps_run(num_steps, strength) :]


def steps_run(num_steps: int, strength: float) -> int:
    """How many of `num_steps` run at this strength: rounded up, so at least one."""
    return math.ceil(num_steps * strength - 1e-9)


def timestep(sigma: float) -> float:
    """The timestep that the network is given: whole, as in diffusers."""
    return float(int(sigma * NUM_TRAIN_TIMESTEPS))


def euler(latents: Tensor, velocity: Tensor, sigma: float, next_sigma: float) -> Tensor:
    """One step from noise level `sigma` to `next_sigma`."""
    return latents + (next_sigma - sigma) * velocity


def guided(
    latents: Tensor, conditional: Tensor, unconditional: Tensor, sigma: float, scale: float, limit: float | None
) -> Tensor:
    """The guided velocity [..., C, F, h, w] at noise level `sigma`, above 0.

    Args:
        conditional, unconditional: velocities of the same `latents`, with the prompt and with the negative one.
        scale: 1 is the conditional one.
        limit: None for classifier-free guidance (Ho & Salimans, arXiv 2207.12598). Else adaptive projected guidance
            (Sadat et al., arXiv 2410.02416, without momentum): of what the prompt changes in the clean clip, what lies
            along that clip, which burns, is left out, and the rest is at most this share of the clip's norm. A student
            that was distilled from a guided teacher has its guidance already, and bears no more than that.
    """
    if limit is None:
        return torch.lerp(unconditional, conditional, scale)
    clean, change = latents - sigma * conditional, sigma * (unconditional - conditional)
    own, size = (torch.linalg.vector_norm(x, dim=(-4, -3, -2, -1), keepdim=True) for x in (clean, change))
    change = change * (limit * own / size.clamp(min=_TINY)).clamp(max=1.0)
    along = (change * clean).sum((-4, -3, -2, -1), keepdim=True) / own.square().clamp(min=_TINY)
    return conditional - (scale - 1.0) / sigma * (change - along * clean)


def add_noise(latents: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """Clean latents noised to level `sigma`."""
    return torch.lerp(latents, noise, sigma)
