"""Compilation changes no result, and all layers share one graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from engines.checkpoint import Checkpoint
from engines.transformer_step import TransformerStep
from engines.tuning import Tuning, _sample, tune_vae
from engines.vae_step import CacheShapes, FramesStep, VaeStep


@torch.inference_mode()
def test_layers_share_one_graph(tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CompileCounterWithBackend("eager")
    compiler = torch.compile

    def counted(function: Any, **options: Any) -> Any:
        return compiler(function, fullgraph=options["fullgraph"], dynamic=options["dynamic"], backend=counter)

    step = TransformerStep(tiny_checkpoint.transformer)
    sample = _sample(step)
    expected = step(*sample)
    monkeypatch.setattr(torch, "compile", counted)
    step.compile_layers({})
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
    tune_vae(step, Tuning(channels_last=True))
    assert (step(latents, *caches)[0].int() - expected.int()).abs().max() <= 1
