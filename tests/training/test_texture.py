"""What is fine, and what of it is a weave."""

from __future__ import annotations

import pytest
import torch

from pipeline.weave import weave
from training.texture import detail, woven


def test_detail_is_of_each_latent_and_not_of_what_changes_slowly() -> None:
    torch.manual_seed(0)
    grain = torch.randn(2, 3, 1, 32, 32)
    slow = torch.linspace(-5, 5, 32).expand(2, 3, 1, 32, 32)
    of_grain, of_half, of_slope = detail(torch.cat([grain, 0.5 * grain, slow], 2))
    assert of_half == pytest.approx(0.5 * of_grain, abs=2e-3)
    assert of_grain > 0.8
    assert of_slope < 0.1 * of_grain


def _token(size: float) -> torch.Tensor:
    return torch.tensor([[size, -size], [-size, size]]).repeat(16, 16)


def test_a_weave_is_what_most_tokens_have_alike() -> None:
    torch.manual_seed(0)
    grain = 0.1 * torch.randn(2, 3, 1, 32, 32)
    edges = grain.clone()
    edges[..., 8:16:2, :] += 2.0  # every other row of a quarter of the picture
    slow = torch.linspace(-5, 5, 32).expand(2, 3, 1, 32, 32)
    of_grain, of_both, of_edges, of_slope = woven(torch.cat([grain, grain + _token(0.2), edges, slow], 2))
    assert of_grain < 0.01
    assert of_both == pytest.approx(0.2, abs=0.04)
    assert of_edges < 0.05  # of their mean a quarter of a cell would be left
    assert of_slope < 0.01


def test_what_it_costs_takes_the_weave_away_and_leaves_the_rest() -> None:
    torch.manual_seed(0)
    grain = 0.1 * torch.randn(1, 2, 1, 32, 32)
    latents = (grain + _token(0.3)).requires_grad_()
    for _ in range(20):
        (gradient,) = torch.autograd.grad(weave(latents).square().sum(), latents)
        latents.data -= 40 * gradient
    assert woven(latents.detach())[0] < 0.03
    assert torch.nn.functional.mse_loss(latents.detach(), grain) < 0.03  # the weave was 0.09
