"""FP8 linears, emulated: what they round, and that the choice of layers keeps its budget."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from engines import fp8, fp8_attention
from engines.checkpoint import Checkpoint
from engines.residency import Residency
from engines.torch_engine import TorchTransformer
from engines.transformer_step import TransformerStep, random_inputs, with_text
from engines.tuning import Quantised, Tuning, tune_transformer

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
    assert bool(tuned.fp8.linears) == (budget > 0)


def _behind_a_cache(checkpoint: Checkpoint, tuning: Tuning | None) -> tuple[torch.Tensor, torch.dtype]:
    """A block's velocity behind the cache that the block before it filled, and that cache's type."""
    engine = TorchTransformer(checkpoint.transformer, Residency(CPU), torch.float32, tuning=tuning)
    torch.manual_seed(1)
    before, latents = torch.randn(1, 8, 2, 4, 6), torch.randn(1, 8, 2, 4, 6)
    times, text = torch.full((2,), 500.0), engine.text_keys_values(torch.randn(1, 16, 16))
    nothing = text.new_zeros(2, 2, 2, 0, 24)
    kept: list[torch.Tensor] = []
    engine.keys_values(before, torch.zeros(2), text, engine.rotary(0, before), nothing, kept.append)
    cache = torch.stack(kept)
    return engine.velocity(latents, times, text, engine.rotary(2, latents), cache), cache.dtype


@pytest.mark.parametrize(
    ("tuning", "bound"),
    [
        (Tuning(fp8_cache=True), 5e-2),
        (Tuning(fp8_error=0.05, fp8_cache=True, fp8_attention=fp8_attention.emulated), 0.1),
    ],
)
def test_a_cache_in_fp8_is_half_as_large_and_nearly_as_good(
    tiny_checkpoint: Checkpoint, tuning: Tuning, bound: float
) -> None:
    exact, _ = _behind_a_cache(tiny_checkpoint, None)
    made, dtype = _behind_a_cache(tiny_checkpoint, tuning)
    assert dtype == torch.float8_e4m3fn
    assert 0 < (made - exact).norm() / exact.norm() < bound


def test_what_is_outside_its_range_is_cut() -> None:
    assert fp8.to_cache(torch.tensor([1e4, -1e4])).float().tolist() == [448.0, -448.0]


def test_kinds_put_all_layers_together_and_nothing_else() -> None:
    names = ["blocks.0.ffn.net.2", "blocks.11.ffn.net.2", "proj_out", "blocks.3.attn1.to_v", "blocks.3.attn2.to_v"]
    assert fp8.kinds(names) == {
        "blocks.*.ffn.net.2": names[:2],
        "proj_out": names[2:3],
        "blocks.*.attn1.to_v": names[3:4],
        "blocks.*.attn2.to_v": names[4:],
    }


def test_attention_in_fp8_is_near_the_exact_one() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 4, 24, 16)
    earlier = torch.randn(2, 4, 40, 16)
    context = torch.cat([earlier, torch.cat([key, value])], 2)
    exact = functional.scaled_dot_product_attention(query, context[:1], context[1:]).transpose(1, 2).flatten(2)
    rows, scale = fp8_attention.emulated(query, fp8.to_cache(context), value)
    assert rows.dtype == torch.float8_e4m3fn
    error = (rows.float() * scale - exact).norm() / exact.norm()
    assert 1e-3 < error < 6e-2


def test_attention_takes_its_part_of_the_budget(tiny_checkpoint: Checkpoint) -> None:
    step = TransformerStep(tiny_checkpoint.transformer)
    tuning = Tuning(fp8_error=0.05, fp8_attention=fp8_attention.emulated)
    with_attention = tune_transformer(step, tuning)
    assert with_attention.attention
    assert 0 < with_attention.error <= 0.05
    none = tune_transformer(TransformerStep(tiny_checkpoint.transformer), replace(tuning, fp8_error=0.0))
    assert none == Quantised()


@torch.inference_mode()
def test_attention_as_an_operator_stays_whole_when_layers_are_compiled(tiny_checkpoint: Checkpoint) -> None:
    attention = fp8_attention.as_operator(fp8_attention.emulated_rows)
    assert fp8_attention.as_operator(fp8_attention.emulated_rows) is attention
    made: list[torch.Tensor] = []
    for is_compiled in (False, True):
        step = TransformerStep(tiny_checkpoint.transformer)
        step.fp8_attention = attention
        if is_compiled:
            step._run_layer = torch.compile(step._layer, fullgraph=True, dynamic=False, backend="aot_eager")
        made.append(step(*with_text(step, random_inputs(step)))[0])
    torch.testing.assert_close(*made)


@pytest.mark.gpu
def test_cudnn_rounds_as_the_emulation_does() -> None:
    attention = fp8_attention.find()
    if attention is None:
        pytest.skip("FP8 attention needs compute capability 9.0 and nvidia-cudnn-frontend")
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 4, 200, 128, device="cuda", dtype=torch.bfloat16)
    context = fp8.to_cache(torch.cat([torch.randn(2, 4, 440, 128, device="cuda"), torch.cat([key, value]).float()], 2))
    (rows, scale), (expected, expected_scale) = (f(query, context, value) for f in (attention, fp8_attention.emulated))
    assert torch.equal(scale, expected_scale)
    exact = (
        functional.scaled_dot_product_attention(query.float(), *context.float().unsqueeze(1)).transpose(1, 2).flatten(2)
    )
    errors = [float((made.float() * scale - exact).norm() / exact.norm()) for made in (rows, expected)]
    assert errors == pytest.approx([errors[1]] * 2, rel=0.3)  # exponentials are rounded against a running maximum there
    assert errors[0] < 8e-2
