"""What is fine, and what of it is a weave."""

from __future__ import annotations

import pytest
import torch

from training.texture import detail, weave, woven


def test_detail_is_of_each_latent_and_not_of_what_changes_slowly() -> None:
    torch.manual_seed(0)
    grain = torch.randn(2, 3, 1, 32, 32)
    slow = torch.linspace(-5, 5, 32).expand(2, 3, 1, 32, 32)
    of_grain, of_half, of_slope = detail(torch.cat([grain, 0.5 * grain, slow], 2))
    assert of_half == pytest.approx(0.5 * of_grain, abs=2e-3)
    assert of_grain > 0.8
    assert of_slope < 0.1 * of_grain


def test_a_weave_is_what_tokens_have_alike() -> None:
    torch.manual_seed(0)
    grain = torch.randn(2, 3, 1, 32, 32)
    token = torch.tensor([[0.2, -0.2], [-0.2, 0.2]]).repeat(16, 16)
    slow = torch.linspace(-5, 5, 32).expand(2, 3, 1, 32, 32)
    of_grain, of_both, of_slope = woven(torch.cat([grain, grain + token, slow], 2))
    assert of_grain < 0.1
    assert of_both == pytest.approx(0.2, abs=0.05)
    assert of_slope < 0.02


def test_what_it_costs_takes_the_weave_away_and_leaves_the_rest() -> None:
    torch.manual_seed(0)
    grain = torch.randn(1, 2, 1, 32, 32)
    latents = (grain + torch.tensor([[0.3, -0.3], [-0.3, 0.3]]).repeat(16, 16)).requires_grad_()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(weave(latents).square().sum(), latents)
        latents.data -= 40 * gradient
    assert woven(latents.detach())[0] < 0.05
    assert torch.nn.functional.mse_loss(latents.detach(), grain) < 0.03
