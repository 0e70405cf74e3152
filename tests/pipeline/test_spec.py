"""The four public checkpoints, from the fields of their own configuration files; and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engines.checkpoint import Configs
from pipeline import VideoRequest
from pipeline.blocks import Grid, plan
from pipeline.denoise import Schedule
from pipeline.errors import CheckpointError, RequestError
from pipeline.spec import Spec, read_spec

TI2V_5B: dict[str, Any] = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "in_channels": 48,
    "ffn_dim": 14336,
    "num_layers": 30,
}
A14B = TI2V_5B | {"num_attention_heads": 40, "in_channels": 16, "ffn_dim": 13824, "num_layers": 40}
VAE_16: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "temperal_downsample": [False, True, True],
    "patch_size": 2,
}
VAE_8: dict[str, Any] = {"base_dim": 96, "temperal_downsample": [False, True, True]}
UNIPC: dict[str, Any] = {"_class_name": "UniPCMultistepScheduler", "solver_order": 2, "flow_shift": 5.0}


def _spec(name: str, index: dict[str, Any], transformer: Any = TI2V_5B, vae: Any = VAE_16, **scheduler: Any) -> Spec:
    return read_spec(Configs(Path("/nowhere") / name, index, transformer, vae, {}, UNIPC | scheduler))


def _ti2v() -> Spec:
    return _spec("Wan2.2-TI2V-5B-Diffusers", {"_class_name": "WanPipeline", "expand_timesteps": True})


def _fastwan() -> Spec:
    return _spec("FastWan2.2-TI2V-5B-FullAttn-Diffusers", {"_class_name": "WanDMDPipeline"})


def test_ti2v_5b_is_chained_behind_its_last_frame() -> None:
    spec = _ti2v()
    assert (spec.strategy, spec.context, spec.solver, spec.solver_order) == ("chained", "frame", "unipc", 2)
    assert spec.grid == Grid(scale_spatial=16, scale_temporal=4, patch=2, first_block=5, block=8, sink=0, window=1)
    assert (spec.num_inference_steps, spec.guidance_scale, spec.flow_shift) == (50, 5.0, 5.0)
    blocks = plan(VideoRequest(prompt="x", width=1280, height=720, seconds=6), spec.grid).blocks
    assert [block.num_latents for block in blocks] == [5, 8, 8, 8, 8]
    assert [block.context for block in blocks] == [(), (4,), (12,), (20,), (28,)]


def test_any_checkpoint_can_make_the_whole_clip_at_once() -> None:
    (block,) = plan(VideoRequest(prompt="x", seconds=6), _ti2v().whole_clip().grid).blocks
    assert (block.num_latents, block.context) == (37, ())


def test_fastwan_has_three_steps_without_guidance() -> None:
    spec = _fastwan()
    assert (spec.strategy, spec.solver, spec.timesteps) == ("chained", "renoise", (1000, 757, 522))
    schedule = Schedule.of(VideoRequest(prompt="x", denoise_strength=0.6), spec)
    assert not schedule.is_guided
    first, later = plan(VideoRequest(prompt="x"), spec.grid).blocks[:2]
    assert schedule.sigmas(first) == (1.0, 0.757, 0.522, 0.0)
    assert schedule.sigmas(later) == (0.757, 0.522, 0.0)


def test_a_student_knows_no_other_number_of_steps() -> None:
    with pytest.raises(RequestError, match=r"num_inference_steps: given 4; allowed: 3 with FastWan"):
        Schedule.of(VideoRequest(prompt="x", num_inference_steps=4), _fastwan())


def test_a14b_has_two_experts_and_denoises_a_whole_clip() -> None:
    index = {"_class_name": "WanPipeline", "boundary_ratio": 0.875}
    spec = _spec("Wan2.2-T2V-A14B-Diffusers", index, A14B, VAE_8, flow_shift=3.0)
    assert spec.grid == Grid(scale_spatial=8, scale_temporal=4, patch=2, first_block=0, block=0, sink=0, window=0)
    assert (spec.boundary_timestep, spec.guidance_scale, spec.guidance_scale_2) == (875.0, 4.0, 3.0)
    asked = Schedule.of(VideoRequest(prompt="x", guidance_scale=6.0), spec)
    assert (asked.guidance(0), asked.guidance(1)) == (6.0, 6.0)
    own = Schedule.of(VideoRequest(prompt="x"), spec)
    assert (own.guidance(0), own.guidance(1)) == (4.0, 3.0)
    assert (own.expert(875.0), own.expert(874.0)) == (0, 1)


def test_an_unknown_scheduler_is_named() -> None:
    with pytest.raises(CheckpointError, match="scheduler is DDIMScheduler; needed: one of UniPC"):
        _spec("other", {"_class_name": "WanPipeline"}, _class_name="DDIMScheduler")
