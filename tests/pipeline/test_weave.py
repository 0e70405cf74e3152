"""What all tokens have alike goes, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from engines.base import VaeDecoder
from pipeline import Model, generate
from pipeline.weave import unweave, weave
from tests.tiny import SmallRequest


def _grain() -> torch.Tensor:
    torch.manual_seed(0)
    return 0.1 * torch.randn(2, 3, 2, 32, 48)


@pytest.mark.parametrize(
    "token", [[[1, -1], [-1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[2, -1], [0, -1]]], ids=str
)
def test_a_weave_of_any_kind_is_taken_away_and_the_rest_left(token: list[list[float]]) -> None:
    pattern = 0.2 * torch.tensor(token).repeat(16, 24)
    taken = unweave(_grain() + pattern) - _grain()
    assert pattern.square().mean() > 0.01
    assert taken.square().mean() < 1e-4


def test_slopes_edges_and_brightness_stay() -> None:
    slope = torch.linspace(-5, 5, 48).expand(2, 3, 2, 32, 48)
    assert (unweave(slope) - slope).abs().max() < 0.01
    stripes = _grain() + 3.0
    stripes[..., 8:16:2, :] += 2.0  # every other row of a quarter of the picture
    assert (unweave(stripes) - stripes).abs().max() < 0.05


class _Seen:
    """A decoder that keeps the latents that it is given."""

    def __init__(self, inner: VaeDecoder) -> None:
        self._inner, self.latents = inner, list[torch.Tensor]()

    def decode(self, latents: torch.Tensor, state: Any) -> torch.Tensor:
        self.latents.append(latents)
        return self._inner.decode(latents, state)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_a_checkpoint_that_says_so_is_decoded_without_its_weave(tiny_model: Model) -> None:
    request = SmallRequest(prompt="红色的猫", seconds=2, seed=3, width=96, height=64)
    found = dict[bool, float]()
    for says in (False, True):
        seen = _Seen(tiny_model.engines.vae_decoder)
        engines = dataclasses.replace(tiny_model.engines, vae_decoder=seen)
        spec = dataclasses.replace(tiny_model.spec, unweave=says)
        for _ in generate(request, dataclasses.replace(tiny_model, spec=spec, engines=engines)):
            pass
        found[says] = float(weave(torch.cat(seen.latents, 2)).square().mean())
    assert found[True] < 0.5 * found[False]  # six tokens of noise: their middle moves when it is taken away
