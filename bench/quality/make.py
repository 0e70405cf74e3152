"""Clips of a checkpoint: one by one along the walk that a person's job takes, or many at once on a GPU.

Owns both ways. The second takes plan, schedule, prompts and noise from `pipeline` and the same stateless step from
`engines`, mapped over a batch; it gives the same pixels as the first (`tests/bench/test_quality_make.py`). Does not
know judges.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import styles
from engines import fp8_attention
from engines.checkpoint import read_checkpoint
from engines.transformer_step import TextKeysValues, TimeEmbedding, TransformerStep, cross_attentions, rotary_tables
from engines.tuning import Tuning, tune_transformer
from pipeline import Model, generate, load_model, sampler
from pipeline.blocks import Block, Plan
from pipeline.blocks import plan as plan_blocks
from pipeline.denoise import Schedule
from pipeline.model import folder_of
from pipeline.request import VideoRequest
from pipeline.weave import unweave
from training.autoencode import decode_frames, denormalise


class Maker(Protocol):
    """Requests to clips, in the same order.

    Attributes:
        model: what they are made with.
    """

    model: Model

    def make(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        """Each clip uint8 [frames, height, width, 3] RGB, on the device that made it."""
        ...

    def plan(self, request: VideoRequest) -> Plan:
        """The blocks of a request."""
        ...


class Walk:
    """`pipeline.generate`, a clip at a time."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def make(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        for request in requests:
            made = [some.pixels for some in generate(request, self.model)]
            yield torch.from_numpy(np.concatenate(made))

    def plan(self, request: VideoRequest) -> Plan:
        return plan_blocks(request, self.model.spec.grid)


class Batched:
    """Many clips at once, in PyTorch: block-causal checkpoints with one transformer and Euler steps.

    Args:
        source: as `pipeline.load_model` takes it.
        batch: clips that are denoised together; they are decoded one by one.
        fp8_error: largest relative error of the velocity that FP8 linears may make; None makes none.

    Raises:
        ValueError: the checkpoint is of another kind.
    """

    def __init__(
        self, source: str | Path | None, device: torch.device, batch: int, fp8_error: float | None = None
    ) -> None:
        self.model = load_model(source, backend="torch")
        spec, checkpoint = self.model.spec, read_checkpoint(folder_of(source))
        if spec.strategy != "causal" or spec.solver != "euler" or spec.boundary_timestep is not None:
            raise ValueError(
                f"{spec.name}: batches need a block-causal checkpoint with one transformer and Euler steps"
            )
        self._device, self._batch = device, batch
        self._dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        source_module = checkpoint.transformer.requires_grad_(False)
        self._transformer = source_module
        self._time = TimeEmbedding(source_module).to(device)
        self._text = TextKeysValues(source_module)
        self._step = TransformerStep(source_module).to(device, self._dtype)
        tuning = Tuning(fp8_error=fp8_error, fp8_attention=fp8_attention.emulated)
        self.fp8 = tune_transformer(self._step, tuning)
        nn.Module.to(self._text, device, self._dtype)  # before it gets linears in FP8, which must stay so
        self._text.attentions = cross_attentions(self._step.blocks)
        self.vae: AutoencoderKLWan = checkpoint.vae.requires_grad_(False)
        nn.Module.to(self.vae, device, self._dtype)  # diffusers' own `to` warns of every change of precision

    def plan(self, request: VideoRequest) -> Plan:
        return plan_blocks(request, self.model.spec.grid)

    @torch.no_grad()
    def make(self, requests: Sequence[VideoRequest]) -> Iterator[Tensor]:
        """As `Maker.make`.

        Raises:
            ValueError: the requests differ in more than prompt, style and seed.
        """
        for first in range(0, len(requests), self._batch):
            some = requests[first : first + self._batch]
            for latents in self._latents(some):
                yield self._pixels(latents, self.plan(some[0]))

    def _latents(self, requests: Sequence[VideoRequest]) -> Tensor:
        """Normalised latents [B, 1, C, F, h, w]."""
        plan, schedule = self.plan(requests[0]), Schedule.of(requests[0], self.model.spec)
        if any(self.plan(r) != plan or Schedule.of(r, self.model.spec) != schedule for r in requests):
            raise ValueError("a batch must have one size, length and schedule")
        branches = [_Branch(text) for text in self._texts(requests, guided=schedule.guides(0))]
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        made: list[Tensor] = []
        for number, block in enumerate(plan.blocks):
            shape = (1, self.model.spec.channels, block.num_latents, plan.height, plan.width)
            noise = torch.stack([torch.randn(shape, generator=g) for g in generators]).to(self._device)
            sigmas = schedule.sigmas(block)
            x = noise
            if made and schedule.denoise_strength < 1.0:
                x = sampler.add_noise(made[-1][:, :, :, -1:].expand(noise.shape), noise, sigmas[0])
            for sigma, after in itertools.pairwise(sigmas):
                velocity = self._guided(branches, x, block, sigma, schedule)
                x = sampler.euler(x, velocity, sigma, after)
            if schedule.unweave:
                x = unweave(x.flatten(0, 1)).unflatten(0, (len(x), 1))
            made.append(x)
            if number + 1 < len(plan.blocks):
                branches = branches if schedule.guides(number + 1) else branches[:1]
                for branch in branches:
                    branch.remember(block, self._forward(branch, x, block, 0.0)[1], plan.blocks[number + 1])
        return torch.cat(made, 3)

    def _guided(self, branches: list[_Branch], x: Tensor, block: Block, sigma: float, schedule: Schedule) -> Tensor:
        timestep = sampler.timestep(sigma)
        wanted, *unwanted = [self._forward(branch, x, block, timestep)[0] for branch in branches]
        if not unwanted:
            return wanted
        return sampler.guided(x, wanted, unwanted[0], sigma, schedule.guidance_scale, schedule.guidance_limit)

    def _forward(self, branch: _Branch, x: Tensor, block: Block, timestep: float) -> tuple[Tensor, Tensor]:
        """Velocity [B, 1, C, F, h, w] and own keys and values [B, layers, 2, heads, N, head_dim]."""
        height, width = x.shape[-2:]
        time = self._time(torch.full((block.num_latents,), timestep, device=self._device))
        cos, sin = rotary_tables(self._transformer, block.start, block.num_latents, height, width)
        cos, sin = (table.to(self._device, self._dtype) for table in (cos, sin))

        def one(latents: Tensor, text: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
            return self._step(latents, time, text, cos, sin, cache)

        with sdpa_kernel(SDPBackend.MATH):  # the only one that surely maps over a batch
            velocity, own = torch.func.vmap(one)(x.to(self._dtype), branch.text, branch.cache(block.context))
        return velocity.float(), own

    def _texts(self, requests: Sequence[VideoRequest], *, guided: bool) -> Iterator[Tensor]:
        """Text keys and values [B, layers, 2, heads, S, head_dim] of the prompts, then of the negative ones."""
        known = styles.load_styles()
        styled = [styles.apply(r.prompt, known.get(r.style), r.negative_prompt) for r in requests]
        sides = ([s.positive for s in styled], [s.negative for s in styled])
        for runs in sides if guided else sides[:1]:
            embeds = [self.model.encode_prompt(prompt).to(self._device, self._dtype) for prompt in runs]
            yield torch.stack([self._text(one) for one in embeds])

    def _pixels(self, latents: Tensor, plan: Plan) -> Tensor:
        frames = decode_frames(self.vae, denormalise(self.vae, latents).to(self._dtype))[0].float()
        pixels = (frames * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0)
        return pixels[: plan.num_frames, : plan.frame_height, : plan.frame_width]


class _Branch:
    """One prompt of every clip, and the keys and values of the latents that the next block looks at."""

    def __init__(self, text: Tensor) -> None:
        self.text = text
        self._kept: dict[int, Tensor] = {}

    def cache(self, context: tuple[int, ...]) -> Tensor:
        """[B, layers, 2, heads, M, head_dim] of these latents."""
        if not context:
            return self.text[..., :0, :]
        return torch.cat([self._kept[latent] for latent in context], 4)

    def remember(self, block: Block, own: Tensor, upcoming: Block) -> None:
        """Keep what the upcoming block looks at."""
        parts = own.split(own.shape[4] // block.num_latents, 4)
        self._kept |= dict(zip(range(block.start, block.stop), parts, strict=True))
        self._kept = {latent: kept for latent, kept in self._kept.items() if latent in upcoming.context}


def alike(requests: Sequence[VideoRequest]) -> list[list[int]]:
    """Indices of requests that may be made together: those that differ in prompt, style and seed only."""

    def key(index: int) -> str:
        r = requests[index]
        return str((r.width, r.height, r.seconds, r.fps, r.num_inference_steps, r.guidance_scale, r.denoise_strength))

    return [list(group) for _, group in itertools.groupby(sorted(range(len(requests)), key=key), key=key)]
