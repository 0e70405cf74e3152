"""Inputs and targets of the flow losses."""

from __future__ import annotations

import torch

from training.flow import CARRIED_SIGMA, carried, cell_weights, noised, random_starts, weighted
from training.sampler import start


def test_states_lead_to_the_clean_latents_wherever_they_start() -> None:
    clean, noise = torch.randn(2, 4, 7, 2, 2), torch.randn(2, 4, 7, 2, 2)
    sigmas = torch.full((2, 7), 0.9)
    starts = torch.tensor([1.0, 0.9, 0.9, 0.9, 1.0, 1.0, 1.0]).expand(2, -1)
    states, velocity = carried(clean, noise, sigmas, starts)
    torch.testing.assert_close(states - 0.9 * velocity, clean)
    torch.testing.assert_close(states[:, :, 1:4], start(noise[:, :, 1:4], clean[:, :, :1], 0.9))
    torch.testing.assert_close(states[:, :, 4:], noised(clean, noise, sigmas)[:, :, 4:])
    torch.testing.assert_close(velocity[:, :, 4:], (noise - clean)[:, :, 4:])


def test_a_later_block_is_carried_from_the_latent_just_before_it() -> None:
    clean, noise = torch.randn(1, 4, 7, 2, 2), torch.randn(1, 4, 7, 2, 2)
    starts = torch.full((1, 7), 0.95)
    beginning = start(noise[:, :, 4:], clean[:, :, 3:4], 0.95)
    states, _ = carried(clean, noise, starts, starts)
    torch.testing.assert_close(states[:, :, 4:], beginning)
    states, _ = carried(clean, noise, torch.full((1, 7), 0.19), starts)  # four fifths of the way
    torch.testing.assert_close(states[:, :, 4:], 0.8 * clean[:, :, 4:] + 0.2 * beginning)


def test_starts_are_never_below_the_state_and_the_first_block_has_none() -> None:
    sigmas = torch.rand(64, 4)
    starts = random_starts(sigmas)
    assert bool((starts >= sigmas).all())
    assert bool((starts[:, 0] == 1).all())
    assert bool((starts >= CARRIED_SIGMA).all())
    assert 0.3 < float((starts[:, 1:] < 1).float().mean()) < 0.7


def test_subjects_count_more_once_their_place_is_fixed() -> None:
    subject = torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]]]])
    weights = cell_weights(subject, torch.tensor([[0.5, 0.95]]))
    assert weights.tolist() == [[[[3.0, 1.0]], [[1.0, 1.0]]]]
    error = torch.zeros(1, 4, 2, 1, 2)
    error[..., 0, 0, 0] = 1.0
    assert float(weighted(error, torch.zeros_like(error), weights)) == 0.5
