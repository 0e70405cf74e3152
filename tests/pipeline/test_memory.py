"""Predicted memory and time, before anything is loaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engines.checkpoint import Configs, read_configs
from pipeline import VideoRequest, memory
from pipeline.blocks import plan
from pipeline.errors import CheckpointError
from pipeline.memory import Machine, Sizes
from pipeline.spec import read_spec
from tests.pipeline.test_spec import A14B, TI2V_5B, UNIPC, VAE_8, VAE_16

GB = 10**9
BIG = VideoRequest(prompt="x", width=1280, height=720, seconds=6)
FIVE_BILLION = {"text_encoder": 5_681_000_000, "transformer": 5_000_000_000, "vae": 705_000_000}
TWO_EXPERTS = {"text_encoder": 5_681_000_000, "vae": 127_000_000} | dict.fromkeys(
    ("transformer", "transformer_2"), 14_289_000_000
)


def _gpu(free: int) -> Machine:
    return Machine("NVIDIA GeForce RTX 4090", True, free, 24 * GB, 2)


def _ti2v() -> tuple[Configs, Sizes]:
    configs = Configs(Path("/nowhere/5B"), {"expand_timesteps": True}, TI2V_5B, VAE_16, {}, UNIPC)
    return configs, memory.sizes_of(TI2V_5B, VAE_16, FIVE_BILLION)


def test_where_weights_do_not_fit_together_they_take_turns() -> None:
    configs, sizes = _ti2v()
    spec = read_spec(configs)
    roomy, tight = (memory.predict(BIG, spec, sizes, _gpu(free)) for free in (80 * GB, 23 * GB))
    assert (roomy.one_at_a_time, tight.one_at_a_time) == (False, True)
    assert roomy.fits
    of_weights = memory.read_coefficients()["cuda"]["memory_bytes"]["weights"]
    assert roomy.memory_bytes - tight.memory_bytes == pytest.approx(10 * GB * of_weights, rel=0.01)


def test_memory_does_not_grow_with_duration_and_time_does() -> None:
    configs, sizes = _ti2v()
    spec = read_spec(configs)
    four, eight = (
        memory.predict(dataclasses.replace(BIG, seconds=seconds), spec, sizes, _gpu(80 * GB)) for seconds in (4, 8)
    )
    assert four.memory_bytes == eight.memory_bytes
    assert four.first_frame_seconds == eight.first_frame_seconds < four.seconds
    assert 1.7 < eight.seconds / four.seconds < 2.4
    whole = memory.predict(BIG, spec.whole_clip(), sizes, _gpu(80 * GB))
    assert whole.memory_bytes > four.memory_bytes
    assert whole.first_frame_seconds > 5 * four.first_frame_seconds


def test_what_is_late_in_its_blocks_and_what_is_not_make_up_the_clip(tiny_folder: Path) -> None:
    configs = read_configs(tiny_folder)
    spec, sizes = read_spec(configs), memory.read_sizes(configs)
    num_blocks = len(plan(BIG, spec.grid).blocks)
    whole, _ = memory.time_terms(BIG, spec, sizes)
    late = [memory.late_terms(BIG, spec, sizes, number) for number in range(num_blocks)]
    first_steps, caches = num_blocks, num_blocks - 1
    assert sum(terms["forwards"] for terms in late) == whole["forwards"] - first_steps - caches
    made = sum(terms["vae_gpixel"] for terms in late)
    trimmed = late[-1]["vae_gpixel"]  # what the last block makes beyond the clip's frames, less than all of it
    assert whole["vae_gpixel"] <= made < whole["vae_gpixel"] + trimmed
    assert 0 < late[1]["linear_tflop"] < whole["linear_tflop"]


def test_guidance_doubles_the_cache(tiny_folder: Path) -> None:
    configs = read_configs(tiny_folder)
    spec, sizes = read_spec(configs), memory.read_sizes(configs)
    plain, guided = (
        memory.memory_terms(
            dataclasses.replace(BIG, guidance_scale=scale), spec, sizes, weight_bytes=4, one_at_a_time=False
        )
        for scale in (1.0, 3.0)
    )
    assert guided["kv_cache"] == 2 * plain["kv_cache"] > 0
    assert guided["weights"] == plain["weights"]


def test_two_experts_of_which_one_is_resident() -> None:
    sizes = memory.sizes_of(A14B, VAE_8, TWO_EXPERTS)
    index = {"boundary_ratio": 0.875}
    spec = read_spec(Configs(Path("/nowhere/A14B"), index, A14B, VAE_8, {}, UNIPC))
    together, in_turn = (
        memory.memory_terms(BIG, spec, sizes, weight_bytes=2, one_at_a_time=turns)["weights"] for turns in (False, True)
    )
    assert together / GB == pytest.approx(68.8, abs=0.1)
    assert in_turn / GB == pytest.approx(28.8, abs=0.1)


def test_too_little_memory_says_how_much_is_needed(tiny_folder: Path) -> None:
    configs = read_configs(tiny_folder)
    memory.require(configs, _gpu(23 * GB))
    machine = Machine("NVIDIA T4", True, 1000, 16 * GB, 2)
    with pytest.raises(CheckpointError, match=r"need 0\.0 GB on NVIDIA T4, 0\.0 GB are free \(of 16\.0 GB\)"):
        memory.require(configs, machine)


def test_a_transformer_in_fp8_needs_half(tiny_folder: Path) -> None:
    configs = read_configs(tiny_folder)
    sizes = memory.read_sizes(configs)
    assert sizes.transformer_parameters > sizes.text_parameters
    weights = 2 * (max(sizes.transformer_parameters // 2, sizes.text_parameters) + sizes.vae_parameters)
    machine = Machine("a GPU", True, weights, 16 * GB, 2)
    memory.require(configs, machine, in_fp8=True)
    with pytest.raises(CheckpointError):
        memory.require(configs, machine)
