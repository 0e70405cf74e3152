"""Stage 3b's order on a tiny network: who learns what when."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from training import matching
from training.distill import Few, Prompts
from training.forward import Pieces
from training.matching import Match
from training.networks import Networks


def _match(student: Networks, teacher: Networks, fake: Networks, *, updates: int) -> tuple[float, list[float]]:
    """The student's loss, and the fake's in its updates, each of which moves the fake far away."""
    losses: list[float] = []

    def update(loss: Tensor) -> None:
        losses.append(float(loss.detach()))
        with torch.no_grad():
            fake.transformer.proj_out.weight.add_(3.0)

    torch.manual_seed(1)
    embeds = torch.randn(2, 5, 16)
    prompts, few = Prompts(embeds, embeds, torch.zeros(2, 5, 16)), Few(2, 3.0, substeps=1, guidance_scale=2.0)
    positions = torch.arange(1).expand(2, -1)
    known = student, teacher, prompts, few, positions, Pieces.plain()
    match = Match(*known, fake=fake, update=update, updates=updates)
    noise = torch.randn(2, student.transformer.config["in_channels"], 1, 4, 4)
    return float(match.learn(noise, slice(0, 1), 1.0).detach()), losses


def test_the_fake_has_not_learnt_the_very_clips_that_it_judges(teacher: Networks) -> None:
    torch.nn.init.normal_(teacher.transformer.proj_out.weight, std=0.1)
    student, fake = copy.deepcopy(teacher), copy.deepcopy(teacher)
    torch.nn.init.normal_(fake.transformer.proj_out.weight, std=0.1)
    alone, none = _match(student, teacher, copy.deepcopy(fake), updates=0)
    beside, losses = _match(student, teacher, fake, updates=2)
    assert beside == alone > 0
    assert none == []
    assert losses[1] > losses[0]  # it goes on learning from them all the same


def test_a_weave_costs(teacher: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.nn.init.normal_(teacher.transformer.proj_out.weight, std=0.1)
    student, fake = copy.deepcopy(teacher), copy.deepcopy(teacher)
    costs: list[float] = []
    for weight in (0.0, 1.0, 3.0):
        monkeypatch.setattr(matching, "FLAT", weight)
        costs.append(_match(student, teacher, fake, updates=0)[0])
    assert costs[1] > costs[0]
    assert costs[2] - costs[0] == pytest.approx(3 * (costs[1] - costs[0]), rel=1e-2)
