"""FP8 linears, emulated: what they round, and that the choice of layers keeps its budget."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engines import fp8
from engines.checkpoint import Checkpoint
from engines.residency import Residency
from engines.torch_engine import TorchTransformer
from engines.tuning import Tuning

CPU = torch.device("cpu")


def test_a_linear_is_within_the_rounding_of_three_bits() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 48)
    x = torch.randn(2, 5, 64) * torch.logspace(-3, 3, 5).view(1, 5, 1)  # a scale of its own for each token
    exact, rounded = linear(x), fp8.Fp8Linear(linear)(x)
    error = ((rounded - exact).norm(dim=-1) / exact.norm(dim=-1)).max()
    assert 1e-3 < error < 5e-2
    assert fp8.Fp8Linear(linear)(torch.zeros(1, 64)).equal(linear(torch.zeros(1, 64)))


def test_cheap_ones_come_first_and_the_budget_holds() -> None:
    errors, sizes = {"a": 0.03, "b": 0.03, "c": 0.04, "d": 0.0}, {"a": 100, "b": 10, "c": 1000, "d": 1}
    assert fp8.choose(errors, sizes, 0.05) == ("a", "c")
    assert fp8.choose(errors, sizes, 0.0) == ()


@pytest.mark.parametrize("budget", [5e-2, 1e-2, 0.0])
def test_a_transformer_keeps_its_budget(tiny_checkpoint: Checkpoint, budget: float) -> None:
    plain, tuned = (
        TorchTransformer(tiny_checkpoint.transformer, Residency(CPU), torch.float32, tuning=tuning)
        for tuning in (None, Tuning(fp8_error=budget))
    )
    torch.manual_seed(1)
    latents, embeds = torch.randn(1, 8, 2, 4, 6), torch.randn(1, 16, 16)
    rotary = plain.rotary(0, latents)

    def velocity(engine: TorchTransformer) -> torch.Tensor:
        text = engine.text_keys_values(embeds)
        return engine.velocity(latents, torch.full((2,), 500.0), text, rotary, text.new_zeros(2, 2, 2, 0, 24))

    exact = velocity(plain)
    assert (velocity(tuned) - exact).norm() / exact.norm() <= 1.5 * budget  # other inputs than it was chosen on
    assert bool(tuned.fp8_linears) == (budget > 0)


def test_a_cache_in_fp8_is_half_as_large_and_nearly_as_good(tiny_checkpoint: Checkpoint) -> None:
    plain, tuned = (
        TorchTransformer(tiny_checkpoint.transformer, Residency(CPU), torch.float32, tuning=tuning)
        for tuning in (None, Tuning(fp8_cache=True))
    )
    torch.manual_seed(1)
    before, latents = torch.randn(1, 8, 2, 4, 6), torch.randn(1, 8, 2, 4, 6)
    times, embeds = torch.full((2,), 500.0), torch.randn(1, 16, 16)
    made: list[torch.Tensor] = []
    for engine in (plain, tuned):
        text = engine.text_keys_values(embeds)
        nothing = text.new_zeros(2, 2, 2, 0, 24)
        cache = engine.keys_values(before, torch.zeros(2), text, engine.rotary(0, before), nothing)
        made.append(engine.velocity(latents, times, text, engine.rotary(2, latents), cache))
    assert cache.dtype == torch.float8_e4m3fn
    error = (made[1] - made[0]).norm() / made[0].norm()
    assert 0 < error < 5e-2
    assert fp8.to_cache(torch.tensor([1e4, -1e4])).float().tolist() == [448.0, -448.0]


def test_kinds_put_all_layers_together() -> None:
    names = ["blocks.0.ffn.net.2", "blocks.11.ffn.net.2", "proj_out"]
    assert fp8.kinds(names) == {"blocks.*.ffn.net.*": names[:2], "proj_out": names[2:]}
