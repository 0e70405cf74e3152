"""Compilation changes no result, and all layers share one graph."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from engines import load_engines
from engines.base import Engines
from engines.checkpoint import Checkpoint
from engines.errors import EngineError
from engines.torch_engine import TorchVaeDecoder
from engines.transformer_step import TransformerStep, random_inputs, with_text
from engines.tuning import (
    FP8_CAPABILITY,
    NOT_COMPILED,
    TUNINGS,
    Tuning,
    tune_decoder,
    tune_transformer,
    tune_vae,
)
from engines.vae_step import CacheShapes, FramesStep, VaeStep


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> CompileCounterWithBackend:
    """Counts the graphs of what is compiled in a test, and runs them as they are."""
    counter = CompileCounterWithBackend("eager")
    compiler = torch.compile

    def counted(function: Any, **options: Any) -> Any:
        return compiler(function, fullgraph=options["fullgraph"], dynamic=options["dynamic"], backend=counter)

    monkeypatch.setattr(torch, "compile", counted)
    torch._dynamo.reset()
    return counter


@torch.inference_mode()
def test_layers_share_one_graph(tiny_checkpoint: Checkpoint, counter: CompileCounterWithBackend) -> None:
    step = TransformerStep(tiny_checkpoint.transformer)
    sample = with_text(step, random_inputs(step))
    expected = step(*sample)
    tune_transformer(step, Tuning(compile=True))
    made = step(*sample)
    torch.testing.assert_close(made[0], expected[0])
    torch.testing.assert_close(made[1], expected[1])
    assert len(step.blocks) == 2
    assert counter.frame_count == 1


@torch.inference_mode()
@pytest.mark.parametrize("first", [True, False])
def test_channels_last_changes_no_frame(tiny_checkpoint: Checkpoint, first: bool) -> None:
    latents = torch.randn(1, 8, 1, 4, 6)
    caches = [torch.zeros(shape) for shape in CacheShapes(tiny_checkpoint.vae)(4, 6)]
    step = FramesStep(VaeStep(tiny_checkpoint.vae, first=first))
    expected = step(latents, *caches)[0]
    tune_vae(step.step, Tuning(channels_last=True))
    assert (step(latents, *caches)[0].int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("tuning", [NOT_COMPILED, Tuning(channels_last=True, vae_frames=1)])
def test_a_tuned_decoder_makes_the_same_pixels(tiny_checkpoint: Checkpoint, tuning: Tuning) -> None:
    device = torch.device("cpu")
    plain, tuned = (TorchVaeDecoder(tiny_checkpoint.vae, device, how) for how in (None, tuning))
    states = [engine.start(4, 6) for engine in (plain, tuned)]
    for latent in torch.randn(3, 1, 8, 1, 4, 6):
        expected, made = (engine.decode(latent, state) for engine, state in zip((plain, tuned), states, strict=True))
        assert (made.int() - expected.int()).abs().max() <= 1


@torch.inference_mode()
@pytest.mark.parametrize("first", [True, False])
def test_a_compiled_decoder_is_a_graph_for_each_piece_where_frames_are_largest(
    tiny_checkpoint: Checkpoint, counter: CompileCounterWithBackend, first: bool
) -> None:
    vae = copy.deepcopy(tiny_checkpoint.vae)
    tune_decoder(vae.decoder, NOT_COMPILED)
    step = FramesStep(VaeStep(vae, first=first, in_place=True, together=2))
    latents, shapes = torch.randn(1, 8, 1, 4, 6), CacheShapes(vae)(4, 6)
    plain, compiled = ([torch.zeros(shape) for shape in shapes] for _ in range(2))
    expected = step(latents, *plain)[0]
    tune_vae(step.step, Tuning(compile=True))
    assert torch.equal(step(latents, *compiled)[0], expected)
    assert all(torch.equal(a, b) for a, b in zip(plain, compiled, strict=True))
    # What is in front; residual blocks at two sizes; the upsampling between them; patches.
    assert counter.frame_count == 1 + 2 + 1 + 1


@torch.inference_mode()
def test_as_many_sizes_as_a_person_asks_for_are_compiled(
    tiny_checkpoint: Checkpoint, counter: CompileCounterWithBackend
) -> None:
    step = FramesStep(VaeStep(copy.deepcopy(tiny_checkpoint.vae), first=False, in_place=True))
    tune_vae(step.step, Tuning(compile=True))
    sizes = [(2, 2 * columns) for columns in range(1, 11)]
    for height, width in sizes:
        step(torch.randn(1, 8, 1, height, width), *map(torch.zeros, CacheShapes(tiny_checkpoint.vae)(height, width)))
    assert counter.frame_count >= len(sizes)


@pytest.mark.parametrize("backend", ["torch", *TUNINGS])
def test_a_backend_is_a_tuning(tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    taken: list[tuple[str, Tuning | None]] = []

    def load(_: Checkpoint, *, device: torch.device, tuning: Tuning | None) -> Engines:
        taken.append((device.type, tuning))
        return cpu

    cpu = load_engines(tiny_checkpoint, "torch")
    monkeypatch.setattr("engines.torch_engine.load", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: FP8_CAPABILITY)
    load_engines(tiny_checkpoint, backend)
    assert taken == [("cuda", TUNINGS.get(backend))]


def test_a_tuning_needs_a_gpu(tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="'fp8' needs a GPU"):
        load_engines(tiny_checkpoint, "fp8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 6))
    with pytest.raises(EngineError, match=r"needs compute capability 8\.9, this GPU has 8\.6"):
        load_engines(tiny_checkpoint, "fp8")
