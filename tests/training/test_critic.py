"""The critic learns to tell pictures apart, and its gradient reaches the student alone, at the asked size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training import config
from training.critic import Critic, add_scaled
from training.forward import Pieces
from training.networks import Networks
from training.session import Session


@pytest.fixture
def critic(teacher: Networks) -> Critic:
    return Critic(teacher, Session(0, 1, torch.device("cpu")), Pieces.plain(), lr=1e-2)


def test_it_learns_to_tell_the_worlds_pictures_from_others(critic: Critic) -> None:
    real, embeds = torch.randn(8, config.LATENT_CHANNELS, 1, 4, 4), torch.randn(8, 5, 16)
    made = 0.3 * real + 1.0
    first = float(critic.learn(real, made, embeds))
    losses = [float(critic.learn(real, made, embeds)) for _ in range(60)]
    assert first == pytest.approx(0.69, abs=0.05)
    assert sum(losses[-5:]) / 5 < first - 0.1
    assert critic.loss(real, embeds) < critic.loss(made, embeds)


def test_of_one_picture_for_all_words_nothing_is_told(critic: Critic) -> None:
    embeds = torch.eye(16)[:8, None].expand(-1, 5, -1)
    real = torch.zeros(8, config.LATENT_CHANNELS, 1, 4, 4)
    losses = [float(critic.learn(real, real, embeds)) for _ in range(20)]
    assert min(losses) > 0.5  # the same picture for all words: nothing to be told
    torch.testing.assert_close(critic.heads([torch.zeros(8, 4, 32)], embeds).shape, torch.Size([8, 4]))


def test_its_gradient_is_added_at_the_asked_size(critic: Critic, teacher: Networks) -> None:
    student = nn.Conv3d(config.LATENT_CHANNELS, config.LATENT_CHANNELS, 1)
    noise, embeds = torch.randn(2, config.LATENT_CHANNELS, 1, 4, 4), torch.randn(2, 5, 16)
    student(noise).square().mean().backward()
    before = [parameter.grad.clone() for parameter in student.parameters() if parameter.grad is not None]
    add_scaled(list(student.parameters()), critic.loss(student(noise), embeds), 0.5)
    after = [parameter.grad for parameter in student.parameters() if parameter.grad is not None]
    added = torch.cat([(new - old).flatten() for new, old in zip(after, before, strict=True)]).norm()
    assert added == pytest.approx(0.5 * torch.cat([old.flatten() for old in before]).norm().item(), rel=1e-4)
    assert all(parameter.grad is None for parameter in teacher.transformer.parameters())
    assert all(parameter.grad is None for parameter in critic.heads.parameters())
