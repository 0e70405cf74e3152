"""Stage 3's arithmetic on a tiny network."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from training import config
from training.distill import Few, Lesson, Prompts, blocks_ahead
from training.forward import Pieces
from training.latents import SAMPLE_BLOCKS
from training.networks import Networks, new_networks
from training.sampler import schedule


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    monkeypatch.setattr(config, "TEXT_ENCODER", config.TEXT_ENCODER | sizes)
    torch.manual_seed(0)
    tiny = {"num_attention_heads": 2, "attention_head_dim": 16, "ffn_dim": 32, "num_layers": 2, "text_dim": 16}
    made = new_networks(32, transformer=tiny)
    torch.nn.init.normal_(made.transformer.proj_out.weight, std=0.1)
    return made


def _prompts() -> Prompts:
    embeds = torch.randn(2, 5, 16)
    return Prompts(embeds, embeds, torch.randn(1, 5, 16).expand(2, -1, -1))


def _lesson(networks: Networks, few: Few, prompts: Prompts) -> Lesson:
    return Lesson(networks, networks, prompts, few, torch.arange(4).expand(2, -1), Pieces.plain())


def test_levels_are_the_shipped_schedule_with_finer_ones_between() -> None:
    few = Few(steps=4, flow_shift=5.0, substeps=3, guidance_scale=3.0)
    levels = few.levels(0.75)
    assert levels.shape == (3, 4)
    torch.testing.assert_close(levels[:, 0], torch.tensor(schedule(4, 5.0, 0.75)[:-1]))
    torch.testing.assert_close(levels[:-1, -1], levels[1:, 0])
    assert levels[-1, -1] == 0
    assert (levels.diff(dim=1) < 0).all()


def test_nothing_is_to_be_learnt_from_a_teacher_that_steps_alike(networks: Networks) -> None:
    lesson = _lesson(networks, Few(2, 3.0, substeps=1, guidance_scale=1.0), _prompts())
    channels = networks.transformer.config.in_channels
    noise = torch.randn(2, channels, 1, 4, 4)
    assert lesson.learn(noise, slice(0, 1), 1.0) < 1e-10
    lesson.keep(lesson.make(noise, slice(0, 1)), slice(0, 1))
    assert lesson.learn(torch.randn(2, channels, 3, 4, 4), slice(1, 4), 1.0) < 1e-10


def test_what_the_teacher_alone_hears_is_learnt_from(networks: Networks) -> None:
    """The same network, which is told the same caption louder, goes elsewhere."""
    plain = _prompts()
    louder = dataclasses.replace(plain, heard=3 * plain.embeds)
    lesson = _lesson(networks, Few(2, 3.0, substeps=1, guidance_scale=1.0), louder)
    noise = torch.randn(2, networks.transformer.config.in_channels, 1, 4, 4)
    assert lesson.learn(noise, slice(0, 1), 1.0) > 1e-8


def test_a_guided_teacher_is_learnt_from(networks: Networks) -> None:
    prompts, channels = _prompts(), networks.transformer.config.in_channels
    noise = torch.randn(2, channels, 1, 4, 4)
    torch.manual_seed(1)
    losses: list[float] = []
    frozen = Networks(
        new_networks(32, transformer=dict(networks.transformer.config)).transformer, networks.text_encoder
    )
    frozen.transformer.load_state_dict(networks.transformer.state_dict())
    optimizer = torch.optim.Adam(networks.transformer.parameters(), lr=3e-3)
    for _ in range(30):
        few, positions = Few(2, 3.0, substeps=2, guidance_scale=4.0), torch.arange(1).expand(2, -1)
        loss = Lesson(networks, frozen, prompts, few, positions, Pieces.plain()).learn(noise, slice(0, 1), 1.0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_what_is_learnt_from_lies_inside_a_sample_or_beyond_it() -> None:
    """Behind the world's own two blocks, or anywhere behind the first frame."""
    chance = random.Random(0)
    assert {blocks_ahead(chance, 5, real_context=True) for _ in range(100)} == {2, SAMPLE_BLOCKS}
    assert {blocks_ahead(chance, 5, real_context=False) for _ in range(300)} == set(range(1, SAMPLE_BLOCKS + 6))


def test_what_does_not_matter_to_the_teacher_is_kept_by_the_student_alone(networks: Networks) -> None:
    torch.manual_seed(2)
    lesson = _lesson(networks, Few(2, 3.0, substeps=1, guidance_scale=1.0), _prompts())
    channels = networks.transformer.config.in_channels
    first, block = torch.randn(2, channels, 1, 4, 4), torch.randn(2, channels, 3, 4, 4)
    lesson.keep(first, slice(0, 1), matters=False)
    assert lesson.learn(block, slice(1, 4), 1.0) > 1e-8  # the teacher, who steps alike, does not see what is in front
    lesson = _lesson(networks, Few(2, 3.0, substeps=1, guidance_scale=1.0), lesson.prompts)
    lesson.keep(first, slice(0, 1))
    assert lesson.learn(block, slice(1, 4), 1.0) < 1e-10
