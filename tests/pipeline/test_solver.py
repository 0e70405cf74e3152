"""The steps between noise levels."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from pipeline import sampler
from pipeline.solver import Euler, Renoise, UniPC


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_cut_short_equals_diffusers_from_that_step(order: int) -> None:
    """A later block of denoise_strength 0.6: the last three of five steps, history beginning there."""
    theirs = UniPCMultistepScheduler(
        solver_order=order, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
    )
    theirs.set_timesteps(5)
    theirs.set_begin_index(2)
    sigmas = sampler.sigmas(5, 5.0, 0.6)
    ours = UniPC(order, sigmas)
    torch.manual_seed(0)
    a = b = torch.randn(1, 8, 2, 4, 4)
    for (sigma, next_sigma), timestep in zip(itertools.pairwise(sigmas), theirs.timesteps[2:], strict=True):
        velocity = torch.randn_like(a)
        a = ours.step(a, velocity, sigma, next_sigma)
        b = theirs.step(velocity, timestep, b, return_dict=False)[0]
        assert (a - b).abs().max() <= 1e-4


def test_renoise_predicts_the_clean_latents_then_noises_them_anew() -> None:
    clean, noise, fresh = torch.randn(3, 1, 8, 2, 4, 4).unbind(0)
    solver = Renoise(lambda like: fresh.expand_as(like))
    latents, velocity = sampler.add_noise(clean, noise, 0.8), noise - clean
    torch.testing.assert_close(solver.step(latents, velocity, 0.8, 0.5), 0.5 * clean + 0.5 * fresh)
    torch.testing.assert_close(solver.step(latents, velocity, 0.8, 0.0), clean)
    torch.testing.assert_close(Euler().step(latents, velocity, 0.8, 0.0), clean)


def test_levels_of_wans_own_code() -> None:
    """999, 937, 833, 624: the timesteps that LongLive's sampler prints for 4 steps and shift 5."""
    sigmas = sampler.sigmas(4, 5.0, limits=(0.999, 0.0))
    assert [sampler.timestep(sigma) for sigma in sigmas] == [999, 937, 833, 624, 0]
