"""Inputs and targets of the flow losses."""

from __future__ import annotations

import torch

from training.flow import carried, cell_weights, noised, weighted
from training.sampler import start


def test_inputs_lead_to_the_clean_latents_wherever_they_start() -> None:
    clean, noise = torch.randn(2, 4, 7, 2, 2), torch.randn(2, 4, 7, 2, 2)
    sigmas = torch.full((2, 7), 0.9)
    chosen = torch.tensor([False, True, True, True, False, False, False]).expand(2, -1)
    inputs, velocity = carried(clean, noise, sigmas, chosen)
    torch.testing.assert_close(inputs - 0.9 * velocity, clean)
    torch.testing.assert_close(inputs[:, :, 1:4], start(noise[:, :, 1:4], clean[:, :, :1], 0.9))
    torch.testing.assert_close(inputs[:, :, 4:], noised(clean, noise, sigmas)[:, :, 4:])
    torch.testing.assert_close(velocity[:, :, 4:], (noise - clean)[:, :, 4:])


def test_a_later_block_is_carried_from_the_latent_just_before_it() -> None:
    clean, noise = torch.randn(1, 4, 7, 2, 2), torch.randn(1, 4, 7, 2, 2)
    inputs, _ = carried(clean, noise, torch.full((1, 7), 0.95), torch.ones(1, 7, dtype=torch.bool))
    torch.testing.assert_close(inputs[:, :, 4:], start(noise[:, :, 4:], clean[:, :, 3:4], 0.95))


def test_subjects_count_more_once_their_place_is_fixed() -> None:
    subject = torch.tensor([[[[1.0, 0.0]], [[1.0, 0.0]]]])
    weights = cell_weights(subject, torch.tensor([[0.5, 0.95]]))
    assert weights.tolist() == [[[[3.0, 1.0]], [[1.0, 1.0]]]]
    error = torch.zeros(1, 4, 2, 1, 2)
    error[..., 0, 0, 0] = 1.0
    assert float(weighted(error, torch.zeros_like(error), weights)) == 0.5
