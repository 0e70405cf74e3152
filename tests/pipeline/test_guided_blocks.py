"""Guidance that a checkpoint wants for its first block alone: the same first block, half the work afterwards."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest

from engines.base import Transformer
from pipeline import Model, VideoRequest, generate
from pipeline.denoise import Schedule
from tests.tiny import SmallRequest

REQUEST = SmallRequest(
    prompt="红色的猫", negative_prompt="蓝色", seconds=2, seed=3, denoise_strength=1.0, width=96, height=64
)


class Counting:
    """A transformer that counts its calls by name."""

    def __init__(self, inner: Transformer) -> None:
        self._inner, self.calls = inner, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._inner, name)


def _made(
    model: Model, guided_blocks: int | None, request: VideoRequest = REQUEST
) -> tuple[list[np.ndarray], Counter[str]]:
    spec = dataclasses.replace(model.spec, guidance_scale=3.0, guided_blocks=guided_blocks)
    counting = Counting(model.engines.transformer)
    engines = dataclasses.replace(model.engines, transformer=counting)
    frames = [some.pixels for some in generate(request, dataclasses.replace(model, spec=spec, engines=engines))]
    return frames, counting.calls


def test_only_the_first_block_pays_for_guidance(tiny_model: Model) -> None:
    everywhere, all_calls = _made(tiny_model, None)
    first, calls = _made(tiny_model, 1)
    np.testing.assert_array_equal(first[0], everywhere[0])
    assert not np.array_equal(first[1], everywhere[1])
    blocks, steps = 1 + 12 // 3, 2  # 48 frames: one latent, then four blocks of three
    assert all_calls["velocity"] == 2 * blocks * steps
    assert calls["velocity"] == (blocks + 1) * steps
    assert calls["keys_values"] == all_calls["keys_values"] / 2 == blocks - 1


def test_who_asks_for_guidance_gets_it_everywhere(tiny_model: Model) -> None:
    asked = dataclasses.replace(REQUEST, guidance_scale=3.0)
    always, _ = _made(tiny_model, None)
    again, _ = _made(tiny_model, 1, asked)
    np.testing.assert_array_equal(np.concatenate(always), np.concatenate(again))


@pytest.mark.parametrize(("guided_blocks", "expected"), [(None, [True, True]), (1, [True, False]), (0, [False, False])])
def test_which_blocks_are_guided(tiny_model: Model, guided_blocks: int | None, expected: list[bool]) -> None:
    spec = dataclasses.replace(tiny_model.spec, guidance_scale=3.0, guided_blocks=guided_blocks)
    schedule = Schedule.of(VideoRequest(prompt="x"), spec)
    assert [schedule.guides(number) for number in range(2)] == expected
