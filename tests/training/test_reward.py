"""The reward learns what clips show, and its gradient makes clips show what is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from training import config
from training.distill import Prompts
from training.forward import Pieces
from training.matching import Praise
from training.networks import Networks
from training.reward import MOVING, Reward, Said, off_grid
from training.text_encoder import CLASSES

POSITIONS = torch.arange(3).expand(8, -1)


@pytest.fixture
def reward(teacher: Networks) -> Reward:
    return Reward(teacher, Pieces.plain())


def _clips() -> tuple[Tensor, Said]:
    """Bright ones, said to be of the first colour, and dark ones, said to be of the second; nothing else is said."""
    latents = torch.randn(8, config.LATENT_CHANNELS, 3, 4, 4) * 0.1
    latents[:4] += 2.0
    latents[4:] -= 2.0
    labels, at = torch.zeros(8, len(CLASSES), dtype=torch.long), list(CLASSES).index("colour")
    labels[4:, at] = 1
    known = torch.zeros(8, len(CLASSES), dtype=torch.bool)
    known[:, at] = True
    return latents, Said(labels, known)


def _taught(reward: Reward, latents: Tensor, said: Said) -> tuple[float, float]:
    optimizer = torch.optim.Adam(reward.clips.parameters(), lr=1e-2)
    losses: list[float] = []
    for _ in range(40):
        loss = reward.loss(reward.read(latents, POSITIONS), said)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]


def test_its_gradient_makes_a_clip_show_what_is_said(reward: Reward, teacher: Networks) -> None:
    latents, said = _clips()
    first, last = _taught(reward, latents, said)
    assert last < 0.2 * first
    teacher.requires_grad_(False)
    wrong = Said(said.labels.flip(0), said.known)
    changed = latents.clone()
    for _ in range(60):
        changed -= 0.06 * reward.gradient(changed, wrong, POSITIONS).sign()
    with torch.no_grad():
        before, after = (reward.loss(reward.read(x, POSITIONS), wrong) for x in (latents, changed))
    assert after < 0.5 * before
    assert changed[:4].mean() < latents[:4].mean()  # the bright ones became darker


def test_of_what_is_not_said_nothing_is_asked(reward: Reward) -> None:
    latents, said = _clips()
    silent = Said(said.labels, torch.zeros_like(said.known))
    assert not reward.gradient(latents, silent, POSITIONS).any()


def test_a_single_picture_is_not_asked_how_it_moves(reward: Reward) -> None:
    latents, said = _clips()
    moving = Said(said.labels, torch.tensor([name in MOVING for name in CLASSES]).expand(8, -1))
    assert not reward.gradient(latents[:, :, :1], moving, POSITIONS[:, :1]).any()
    assert reward.gradient(latents, moving, POSITIONS).any()


def test_captions_count_where_they_are_read_surely(reward: Reward) -> None:
    embeds, ids = torch.randn(2, 5, 16), torch.randint(3, 100, (2, 5))
    for head in reward.text.heads.values():
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    with torch.no_grad():
        reward.text.heads["weather"].bias[2] = 20.0
    said = reward.said(embeds, ids)
    assert said.known.sum(1).tolist() == [1, 1]
    assert said.labels[:, list(CLASSES).index("weather")].tolist() == [2, 2]


def test_a_file_holds_all_of_it_in_half_precision(reward: Reward, teacher: Networks, tmp_path: Path) -> None:
    reward.save(tmp_path)
    again = Reward.load(tmp_path, teacher, Pieces.plain())
    for name, module in reward.modules.items():
        old, new = module.state_dict(), again.modules[name].state_dict()
        assert all(torch.equal(old[key].half(), new[key].half()) for key in old)


def test_praise_has_the_asked_size(reward: Reward, monkeypatch: pytest.MonkeyPatch) -> None:
    latents, said = _clips()
    monkeypatch.setattr(reward, "said", lambda *_: said)
    told = Prompts(*torch.randn(3, 8, 5, 16))
    praise, away = Praise(reward, 0.25).of(told, torch.ones(8, 5, dtype=torch.long)), torch.randn_like(latents)
    added = praise(latents, POSITIONS, away)
    assert added.norm() == pytest.approx(0.25 * away.norm().item(), rel=1e-4)
    assert praise(latents, POSITIONS, 3 * away).norm() < 0.5 * away.norm()  # the mean of sizes runs slowly


def test_what_is_read_is_not_always_at_the_same_place_of_a_token() -> None:
    latents = torch.arange(8.0 * 8).view(1, 1, 1, 8, 8)
    torch.manual_seed(0)
    corners = {float(off_grid(latents)[0, 0, 0, 0, 0]) for _ in range(40)}
    assert corners == {0.0, 1.0, 8.0, 9.0}
    assert all(side % 2 == 0 for _ in range(10) for side in off_grid(latents).shape[3:])
