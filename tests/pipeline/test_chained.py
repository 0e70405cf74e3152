"""Chained blocks through the whole walk: both kinds of context, few-step students, prompts encoded once."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline import Model, VideoRequest, generate, load_model
from pipeline.blocks import Block
from pipeline.chained import Chained
from pipeline.denoise import Branch
from pipeline.text import PromptCache
from styles import WeightedText
from tests.tiny import SmallRequest

SMALL = {"width": 96, "height": 64}
REQUEST = SmallRequest(prompt="猫", seed=5, seconds=2, guidance_scale=1.0, num_inference_steps=2, **SMALL)


@pytest.fixture(scope="module")
def chained(chained_folder: Path) -> Model:
    return load_model(chained_folder, backend="torch")


def _with(model: Model, **changes: object) -> Model:
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, **changes))


def _clip(model: Model, request: VideoRequest = REQUEST, latents: int = 6) -> np.ndarray:
    """The frames of the first latents: five of them are the first block."""
    frames = generate(request, model)
    made = np.concatenate([made.pixels for made in itertools.islice(frames, latents)])
    frames.close()
    return made


def test_frames_are_exact_and_the_same_again(chained: Model) -> None:
    made = _clip(chained, latents=13)
    assert made.shape == (48, 64, 96, 3)
    assert np.array_equal(made[:21], _clip(chained))


def test_the_kinds_of_context_differ_behind_the_first_block(chained: Model) -> None:
    """Frames of the first block have no context yet."""
    frame, latents = _clip(chained), _clip(_with(chained, context="latents"))
    assert np.array_equal(frame[:17], latents[:17])
    assert not np.array_equal(frame[17:], latents[17:])


def test_a_student_renoises(chained: Model) -> None:
    student = _with(chained, solver="renoise", timesteps=(1000, 757, 522))
    made = _clip(student, dataclasses.replace(REQUEST, num_inference_steps=3))
    assert made.shape == (21, 64, 96, 3)
    assert not np.array_equal(made, _clip(chained))


def test_carried_context_is_the_latents_before_the_block() -> None:
    strategy = Chained(recode=None)
    blocks = [Block(0, 2, ()), Block(2, 4, (0, 1)), Block(4, 6, (1, 2, 3))]
    made = torch.arange(6.0).view(1, 1, 6, 1, 1)
    seen: list[list[float]] = []
    timesteps: list[list[float]] = []

    class Recorder:
        def rotary(self, first_latent: int, latents: Tensor) -> tuple[Tensor, Tensor]:
            assert first_latent == 0
            seen.append(latents.flatten().tolist())
            return latents, latents

        def text_keys_values(self, prompt_embeds: Tensor) -> Tensor:
            return prompt_embeds.new_zeros(1, 2, 1, 1, 4)

        def velocity(self, latents: Tensor, times: Tensor, *_: object) -> Tensor:
            timesteps.append(times.tolist())
            return latents

        keys_values = velocity

    branch = Branch(Recorder(), torch.zeros(1, 1, 4))
    for i, block in enumerate(blocks):
        if i:
            strategy.remember(blocks[i - 1], made[:, :, blocks[i - 1].start : blocks[i - 1].stop], block)
        strategy.begin(block)
        own = made[:, :, block.start : block.stop]
        assert torch.equal(strategy.velocity(branch, own, 500.0), own)
    assert seen == [[0, 1], [0, 1, 2, 3], [1, 2, 3, 4, 5]]
    assert timesteps == [[500, 500], [0, 0, 500, 500], [0, 0, 0, 500, 500]]


def test_a_prompt_is_encoded_once(chained: Model) -> None:
    calls: list[Tensor] = []

    class Counting:
        def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            calls.append(input_ids)
            return chained.engines.text_encoder.encode(input_ids, attention_mask)

    cache = PromptCache(size=1)

    def embeds(text: str) -> Tensor:
        return cache.encode([WeightedText(text, 1.0)], chained.tokenizer, Counting(), 16)

    assert torch.equal(embeds("cat"), embeds("cat"))
    assert len(calls) == 1
    embeds("dog")
    embeds("cat")
    assert len(calls) == 3
