"""The walk's parts against diffusers' pipelines, on tiny random instances: same noise, same frames.

The whole clip (WanPipeline), the two-expert switch (likewise), and a chained block behind a clean first latent
(WanImageToVideoPipeline with expand_timesteps), each with the solver that its checkpoint asks for.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from PIL import Image

from pipeline import Model, load_model
from pipeline.blocks import Block, Plan
from pipeline.chained import Chained
from pipeline.decode import Decoder
from pipeline.denoise import Denoiser, Schedule, branches_of
from pipeline.strategies import strategy_of
from styles import WeightedText

PROMPT = "a red ball"


def _plan(model: Model, *blocks: Block) -> Plan:
    """A frame of 4 x 6 latent cells."""
    scale = model.spec.grid.scale_spatial
    num_frames = 1 + 4 * (blocks[-1].stop - 1)
    return Plan(4, 6, blocks, num_frames=num_frames, frame_height=4 * scale, frame_width=6 * scale)


def _schedule(model: Model, **changes: Any) -> Schedule:
    spec = model.spec
    schedule = Schedule(
        num_steps=4,
        shift=spec.flow_shift,
        denoise_strength=1.0,
        guidance_scale=1.0,
        boundary_timestep=spec.boundary_timestep,
        solver=spec.solver,
        solver_order=spec.solver_order,
    )
    return dataclasses.replace(schedule, **changes)


def _prompts(model: Model) -> list[torch.Tensor]:
    return [model.encode_prompt([WeightedText(text, 1.0)]) for text in (PROMPT, "")]


def _frames(model: Model, schedule: Schedule, seed: int) -> np.ndarray:
    """Three latents as one block."""
    plan = _plan(model, Block(0, 3, ()))
    branches = branches_of(model.engines, schedule, _prompts(model))
    decoder = Decoder(model.engines.vae_decoder, plan)
    denoiser = Denoiser(
        strategy_of(model.spec, plan, branches, decoder),
        branches,
        plan=plan,
        schedule=schedule,
        channels=8,
        device=model.engines.device,
        seed=seed,
    )
    (block,) = plan.blocks
    latents = denoiser.start(block)
    for sigma, next_sigma in itertools.pairwise(schedule.sigmas(block)):
        latents = denoiser.step(block, latents, sigma, next_sigma)
    return np.concatenate([decoder.decode(latent) for latent in latents.split(1, dim=2)])


def _assert_same(ours: np.ndarray, expected: np.ndarray) -> None:
    # Ours are bytes: half a level of rounding, and the 1e-3 that is asked for.
    assert ours.shape == expected.shape
    assert np.abs(ours / 255.0 - expected).max() <= 0.5 / 255 + 1e-3


@pytest.mark.parametrize("fixture", ["whole_clip_folder", "chained_folder"])
@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_whole_clip_in_one_block(request: pytest.FixtureRequest, fixture: str, guidance_scale: float) -> None:
    """Euler and UniPC of order 2, without and with a timestep for each latent."""
    folder: Path = request.getfixturevalue(fixture)
    model = load_model(folder, backend="torch")
    ours = _frames(model, _schedule(model, guidance_scale=guidance_scale), seed=11)
    theirs = WanPipeline.from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        prompt=PROMPT,
        negative_prompt="",
        height=64,
        width=96,
        num_frames=9,
        num_inference_steps=4,
        guidance_scale=guidance_scale,
        generator=torch.Generator().manual_seed(11),
        output_type="np",
    ).frames[0]
    _assert_same(ours, expected)


@pytest.mark.parametrize(("scale", "scale_2"), [(1.0, 1.0), (4.0, 3.0), (4.0, None)])
def test_two_experts(experts_folder: Path, scale: float, scale_2: float | None) -> None:
    """High noise above the boundary, low noise below it, each with its own guidance; the 8 x 8 x 4 autoencoder."""
    model = load_model(experts_folder, backend="torch")
    assert model.spec.boundary_timestep == 875.0
    schedule = _schedule(model, guidance_scale=scale, guidance_scale_2=scale_2)
    sigmas = schedule.sigmas(Block(0, 3, ()))
    assert {schedule.expert(1000 * sigma) for sigma in sigmas[:-1]} == {0, 1}
    theirs = WanPipeline.from_pretrained(experts_folder)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        prompt=PROMPT,
        negative_prompt="",
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=4,
        guidance_scale=scale,
        guidance_scale_2=scale_2,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).frames[0]
    _assert_same(_frames(model, schedule, seed=3), expected)


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
def test_chained_block_behind_one_clean_latent(chained_folder: Path, guidance_scale: float) -> None:
    """A block behind the last frame, encoded alone, is what diffusers makes of that frame as an image condition."""
    model = load_model(chained_folder, backend="torch")
    assert (model.spec.strategy, model.spec.context, model.spec.solver) == ("chained", "frame", "unipc")
    frame = torch.randint(0, 256, (64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    encoder = model.engines.vae_encoder
    assert encoder is not None
    context = encoder.encode(frame)

    schedule = _schedule(model, guidance_scale=guidance_scale)
    embeds = _prompts(model)
    branches = branches_of(model.engines, schedule, embeds)
    block = Block(1, 3, (0,))
    strategy = Chained(lambda: context)
    plan = _plan(model, block)
    denoiser = Denoiser(
        strategy, branches, plan=plan, schedule=schedule, channels=8, device=model.engines.device, seed=0
    )
    denoiser.start(block)
    noise = torch.randn(1, 8, 3, 4, 6, generator=torch.Generator().manual_seed(7))
    latents = noise[:, :, 1:]
    for sigma, next_sigma in itertools.pairwise(schedule.sigmas(block)):
        latents = denoiser.step(block, latents, sigma, next_sigma)

    parts = WanPipeline.from_pretrained(chained_folder).components
    theirs = WanImageToVideoPipeline(
        **{name: parts[name] for name in ("tokenizer", "text_encoder", "vae", "scheduler", "transformer")},
        expand_timesteps=True,
    )
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        image=Image.fromarray(frame.numpy()),
        prompt_embeds=embeds[0],
        negative_prompt_embeds=embeds[1],
        height=64,
        width=96,
        num_frames=9,
        num_inference_steps=4,
        guidance_scale=guidance_scale,
        latents=noise,
        output_type="latent",
    ).frames
    assert (context - expected[:, :, :1]).abs().max() <= 1e-3
    assert (latents - expected[:, :, 1:]).abs().max() <= 1e-3
