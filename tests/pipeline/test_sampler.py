"""The schedule and the step against diffusers' scheduler, order 1 without corrector."""

from __future__ import annotations

import itertools

import pytest
import torch
from diffusers.guiders.adaptive_projected_guidance import normalized_guidance

from pipeline import sampler
from tests import tiny


@pytest.mark.parametrize("num_steps", [1, 2, 4, 7])
def test_schedule_and_steps_equal_diffusers(num_steps: int) -> None:
    torch.manual_seed(0)
    scheduler = tiny.scheduler()
    scheduler.set_timesteps(num_steps)
    sigmas = sampler.sigmas(num_steps, 3.0)
    torch.testing.assert_close(torch.tensor(sigmas), scheduler.sigmas, atol=1e-6, rtol=0)
    assert [int(sampler.timestep(s)) for s in sigmas[:-1]] == scheduler.timesteps.tolist()

    ours = theirs = torch.randn(1, 8, 2, 4, 4)
    for (sigma, next_sigma), t in zip(itertools.pairwise(sigmas), scheduler.timesteps, strict=True):
        velocity = torch.randn_like(ours)
        ours = sampler.euler(ours, velocity, sigma, next_sigma)
        theirs = scheduler.step(velocity, t, theirs, return_dict=False)[0]
    assert (ours - theirs).abs().max() <= 1e-4


def test_strength_runs_the_end_of_the_schedule() -> None:
    full = sampler.sigmas(4, 3.0)
    assert sampler.sigmas(4, 3.0, 0.75) == full[1:]
    assert sampler.sigmas(4, 3.0, 0.74) == full[1:]
    assert sampler.sigmas(4, 3.0, 0.1) == full[3:]
    assert [sampler.steps_run(2, s) for s in (0.1, 0.5, 0.75, 1.0)] == [1, 1, 2, 2]


def test_noise_of_level_one_is_all_noise() -> None:
    clean, noise = torch.randn(2, 3, 4).unbind(0)
    assert torch.equal(sampler.add_noise(clean, noise, 1.0), noise)
    assert torch.equal(sampler.add_noise(clean, noise, 0.0), clean)


@pytest.mark.parametrize("scale", [1.0, 3.0, 9.0])
def test_projected_guidance_equals_diffusers(scale: float) -> None:
    torch.manual_seed(0)
    x, conditional, unconditional = torch.randn(3, 1, 8, 2, 4, 4).unbind(0)
    sigma, limit = 0.625, 0.1
    clean, without = x - sigma * conditional, x - sigma * unconditional
    for threshold in (limit, 100.0):  # one bounds, the other does not
        wanted = normalized_guidance(
            clean,
            without,
            scale - 1.0,
            eta=0.0,
            norm_threshold=threshold * float(clean.norm()),
            use_original_formulation=True,
        )
        velocity = sampler.guided(x, conditional, unconditional, sigma, scale, threshold)
        torch.testing.assert_close(x - sigma * velocity, wanted, atol=1e-5, rtol=0)


def test_a_limit_bounds_each_clip_of_a_batch_by_itself() -> None:
    torch.manual_seed(0)
    x, conditional, unconditional = torch.randn(3, 3, 1, 8, 2, 4, 4).unbind(0)
    unconditional[1] = conditional[1]  # whose prompt changes nothing
    together = sampler.guided(x, conditional, unconditional, 0.5, 5.0, 0.02)
    alone = [sampler.guided(*clip, 0.5, 5.0, 0.02) for clip in zip(x, conditional, unconditional, strict=True)]
    torch.testing.assert_close(together, torch.stack(alone))
    assert torch.equal(together[1], conditional[1])
    change = (0.5 * (together - conditional)).flatten(1).norm(dim=1)
    assert (change <= 4.0 * 0.02 * (x - 0.5 * conditional).flatten(1).norm(dim=1) * 1.0001).all()


def test_without_a_limit_guidance_is_classifier_free() -> None:
    x, conditional, unconditional = torch.randn(3, 1, 8, 2, 4, 4).unbind(0)
    velocity = sampler.guided(x, conditional, unconditional, 0.5, 5.0, None)
    torch.testing.assert_close(velocity, unconditional + 5.0 * (conditional - unconditional))
