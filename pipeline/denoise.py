"""One block: noise, prompt and context to clean latents.

Owns the block-causal strategy: what a block starts from, the keys and values that are kept (sink and window), the clean
re-cache pass at timestep 0, and guidance. Context is carried as latents and keys and values, never re-encoded from
pixels. Does not know pixels, styles or jobs.

Block-causal generation with a KV cache: CausVid (arXiv 2412.07772), Self Forcing (arXiv 2506.08009); the sink: LongLive
(arXiv 2509.22622). Guidance: Ho & Salimans, arXiv 2207.12598.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engines.base import Transformer
from pipeline import sampler
from pipeline.blocks import Block, Plan


@dataclass(frozen=True, slots=True)
class Schedule:
    """How one clip is denoised: steps and shift of the full schedule, strength of later blocks, guidance."""

    num_steps: int
    shift: float
    denoise_strength: float
    guidance_scale: float

    def sigmas(self, block: Block) -> tuple[float, ...]:
        """Noise levels of this block; the first block has nothing to start from, so it runs in full."""
        strength = 1.0 if block.start == 0 else self.denoise_strength
        return sampler.sigmas(self.num_steps, self.shift, strength)


class Denoiser:
    """The transformer's side of one clip, block after block.

    Args:
        transformer: engine.
        channels: of a latent.
        prompt_embeds: float32 [1, S, text_dim].
        negative_prompt_embeds: likewise; used only where guidance_scale is above 1.
        seed: of the noise, drawn block after block from one CPU generator, as diffusers' pipelines do.
    """

    def __init__(
        self,
        transformer: Transformer,
        *,
        plan: Plan,
        schedule: Schedule,
        channels: int,
        prompt_embeds: Tensor,
        negative_prompt_embeds: Tensor | None,
        seed: int,
    ) -> None:
        self._transformer = transformer
        self._plan, self._schedule, self._channels = plan, schedule, channels
        self._device = prompt_embeds.device
        self._generator = torch.Generator("cpu").manual_seed(seed)
        guided = schedule.guidance_scale > 1.0 and negative_prompt_embeds is not None
        prompts = [prompt_embeds, negative_prompt_embeds] if guided else [prompt_embeds]
        self._branches = [_Branch(transformer, embeds) for embeds in prompts if embeds is not None]
        self._rotary: tuple[Tensor, Tensor] | None = None
        self._last: tuple[Block, Tensor] | None = None

    def start(self, block: Block) -> Tensor:
        """What the next block starts from, [1, C, F, h, w] at the schedule's first noise level.

        Pure noise, or the last context latent carried forward and noised. Runs the re-cache pass of the block before.
        """
        if self._last is not None:
            self._remember(*self._last, upcoming=block)
        shape = (1, self._channels, block.num_latents, self._plan.height, self._plan.width)
        noise = torch.randn(shape, generator=self._generator).to(self._device)
        self._rotary = self._transformer.rotary(block.start, noise)
        if self._last is None or self._schedule.denoise_strength >= 1.0:
            return noise
        carried = self._last[1][:, :, -1:].expand(shape)
        return sampler.add_noise(carried, noise, self._schedule.sigmas(block)[0])

    def step(self, block: Block, latents: Tensor, sigma: float, next_sigma: float) -> Tensor:
        """One Euler step of the block's latents from noise level `sigma` to `next_sigma`; 0 makes them clean."""
        timesteps = torch.full((block.num_latents,), sampler.timestep(sigma), device=self._device)
        latents = sampler.euler(latents, self._guided_velocity(block, latents, timesteps), sigma, next_sigma)
        if next_sigma == 0.0:
            self._last = (block, latents)
        return latents

    def _guided_velocity(self, block: Block, latents: Tensor, timesteps: Tensor) -> Tensor:
        assert self._rotary is not None, "start() comes first"
        conditional, *unconditional = [
            self._transformer.velocity(latents, timesteps, branch.text, self._rotary, branch.cache(block.context))
            for branch in self._branches
        ]
        if not unconditional:
            return conditional
        return torch.lerp(unconditional[0], conditional, self._schedule.guidance_scale)

    def _remember(self, block: Block, latents: Tensor, *, upcoming: Block) -> None:
        """Cache the keys and values of a block's clean latents; drop what no block will attend to again."""
        timesteps = torch.zeros(block.num_latents, device=self._device)
        rotary = self._transformer.rotary(block.start, latents)
        for branch in self._branches:
            cache = branch.cache(block.context)
            own = self._transformer.keys_values(latents, timesteps, branch.text, rotary, cache)
            branch.add(block, own, keep=upcoming.context)


class _Branch:
    """One prompt's side of guidance: its text keys and values, and its cache by latent index."""

    def __init__(self, transformer: Transformer, prompt_embeds: Tensor) -> None:
        self.text = transformer.text_keys_values(prompt_embeds)
        self._by_latent: dict[int, Tensor] = {}
        self._joined: tuple[tuple[int, ...], Tensor] | None = None

    def cache(self, context: tuple[int, ...]) -> Tensor:
        """The keys and values of these latents, joined once a block: [layers, 2, heads, M, head_dim]."""
        if self._joined is None or self._joined[0] != context:
            parts = [self._by_latent[i] for i in context]
            layers, pair, heads, _, head_dim = self.text.shape
            empty = self.text.new_zeros(layers, pair, heads, 0, head_dim)
            self._joined = (context, torch.cat(parts, dim=3) if parts else empty)
        return self._joined[1]

    def add(self, block: Block, own: Tensor, keep: tuple[int, ...]) -> None:
        self._by_latent.update(zip(range(block.start, block.stop), own.chunk(block.num_latents, dim=3), strict=True))
        self._by_latent = {i: kv for i, kv in self._by_latent.items() if i in keep}
