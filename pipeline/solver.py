"""From one noise level to the next: the step of a flow-matching sampler, one object a block.

Owns the three samplers that WAN checkpoints ask for: Euler, UniPC (arXiv 2302.04867, diffusers' own), and re-noising,
which few-step students of distribution matching were distilled with (arXiv 2405.14867, section 4.5). A solver may keep
history, so that one serves one block. Does not know timesteps, guidance or context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor

from pipeline import sampler


class Solver(Protocol):
    """One block's way from noise to clean latents."""

    def step(self, latents: Tensor, velocity: Tensor, sigma: float, next_sigma: float) -> Tensor:
        """Latents at level `sigma` and their velocity -> latents at `next_sigma`; 0 is clean."""
        ...


class Euler:
    """The first-order step; no history."""

    def step(self, latents: Tensor, velocity: Tensor, sigma: float, next_sigma: float) -> Tensor:
        return sampler.euler(latents, velocity, sigma, next_sigma)


class UniPC:
    """diffusers' multistep predictor-corrector over these levels.

    Args:
        order: of the predictor, 1 to 3.
        sigmas: the levels that run, the last of them 0.
    """

    def __init__(self, order: int, sigmas: tuple[float, ...]) -> None:
        self._sigmas = sigmas
        self._scheduler = UniPCMultistepScheduler(
            solver_order=order, prediction_type="flow_prediction", use_flow_sigmas=True
        )
        self._scheduler.set_timesteps(len(sigmas) - 1)
        self._scheduler.sigmas = torch.tensor(sigmas)  # as they are: a schedule cut short begins below 1
        self._scheduler.set_begin_index(0)

    def step(self, latents: Tensor, velocity: Tensor, sigma: float, next_sigma: float) -> Tensor:
        assert next_sigma == self._sigmas[self._sigmas.index(sigma) + 1], "its history is of one schedule"
        timestep = torch.tensor(sampler.timestep(sigma))
        return self._scheduler.step(velocity, timestep, latents, return_dict=False)[0]


class Renoise:
    """Predict the clean latents, then noise them anew to the next level.

    Args:
        noise: fresh noise of the shape of its argument.
    """

    def __init__(self, noise: Callable[[Tensor], Tensor]) -> None:
        self._noise = noise

    def step(self, latents: Tensor, velocity: Tensor, sigma: float, next_sigma: float) -> Tensor:
        clean = latents - sigma * velocity
        return clean if next_sigma == 0.0 else sampler.add_noise(clean, self._noise(clean), next_sigma)
