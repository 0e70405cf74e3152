"""One block: noise, prompt and context to clean latents.

Owns what a block starts from (noise, or its context carried forward), the schedule, guidance and the choice between
two experts. How a block sees what came before it is a `Strategy`'s: `pipeline.causal` and `pipeline.chained`, behind
one call. Does not know pixels, styles or jobs.

Two experts: WAN 2.2's high-noise and low-noise transformers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engines.base import Engines, Transformer
from pipeline import sampler, solver
from pipeline.blocks import Block, Plan
from pipeline.errors import RequestError
from pipeline.request import VideoRequest
from pipeline.solver import Solver
from pipeline.spec import SolverName, Spec
from pipeline.weave import unweave


@dataclass(frozen=True, slots=True)
class Schedule:
    """How one clip is denoised: steps and shift of the full schedule, strength of later blocks, guidance.

    See `pipeline.spec.Spec` for the attributes of the same names.
    """

    num_steps: int
    shift: float
    denoise_strength: float
    guidance_scale: float
    guidance_scale_2: float | None = None
    guided_blocks: int | None = None
    guidance_limit: float | None = None
    unweave: bool = False
    boundary_timestep: float | None = None
    sigma_limits: tuple[float, float] = (1.0, 1 / sampler.NUM_TRAIN_TIMESTEPS)
    timesteps: tuple[int, ...] | None = None
    solver: SolverName = "euler"
    solver_order: int = 1

    @classmethod
    def of(cls, request: VideoRequest, spec: Spec) -> Schedule:
        """The request's own values where it has them, else the checkpoint's.

        Raises:
            RequestError: a distilled student was asked for another number of steps than it has.
        """
        num_steps = request.num_inference_steps or spec.num_inference_steps
        if spec.timesteps is not None and num_steps != len(spec.timesteps):
            allowed = str(len(spec.timesteps))
            raise RequestError(
                "num_inference_steps", num_steps, f"{allowed} with {spec.name}", f"{spec.name} 须为 {allowed}"
            )
        return cls(
            num_steps=num_steps,
            shift=spec.flow_shift,
            denoise_strength=request.denoise_strength,
            guidance_scale=request.guidance_scale or spec.guidance_scale,
            guidance_scale_2=request.guidance_scale or spec.guidance_scale_2,
            guided_blocks=None if request.guidance_scale else spec.guided_blocks,
            guidance_limit=spec.guidance_limit,
            unweave=spec.unweave,
            boundary_timestep=spec.boundary_timestep,
            sigma_limits=spec.sigma_limits,
            timesteps=spec.timesteps,
            solver=spec.solver,
            solver_order=spec.solver_order,
        )

    def sigmas(self, block: Block) -> tuple[float, ...]:
        """Noise levels of this block; the first block has nothing to start from, so it runs in full."""
        strength = 1.0 if block.start == 0 else self.denoise_strength
        if self.timesteps is None:
            return sampler.sigmas(self.num_steps, self.shift, strength, self.sigma_limits)
        levels = (*(timestep / sampler.NUM_TRAIN_TIMESTEPS for timestep in self.timesteps), 0.0)
        return sampler.truncated(levels, strength)

    def expert(self, timestep: float) -> int:
        """0 for the high-noise transformer, 1 for the low-noise one."""
        return int(self.boundary_timestep is not None and timestep < self.boundary_timestep)

    def guidance(self, expert: int) -> float:
        """The guidance scale of this expert."""
        return self.guidance_scale if expert == 0 or self.guidance_scale_2 is None else self.guidance_scale_2

    def guides(self, number: int) -> bool:
        """Whether the clip's block of this number, from 0, is guided."""
        return self.is_guided and (self.guided_blocks is None or number < self.guided_blocks)

    @property
    def is_guided(self) -> bool:
        """Whether the negative prompt is used at all."""
        return max(self.guidance_scale, self.guidance(1)) > 1.0


class Branch:
    """One transformer with one prompt; the prompt's keys and values are made once, at the latest when asked for."""

    def __init__(self, transformer: Transformer, prompt_embeds: Tensor) -> None:
        self.transformer = transformer
        self._prompt_embeds = prompt_embeds
        self._tables: tuple[tuple[int, torch.Size], tuple[Tensor, Tensor]] | None = None

    @functools.cached_property
    def text(self) -> Tensor:
        """[layers, 2, heads, S, head_dim]."""
        return self.transformer.text_keys_values(self._prompt_embeds)

    def prepare(self) -> None:
        """Make the prompt's keys and values now."""
        _ = self.text

    def change_prompt(self, prompt_embeds: Tensor) -> None:
        """Take another prompt from the next call on."""
        self._prompt_embeds = prompt_embeds
        self.__dict__.pop("text", None)

    def rotary(self, first_latent: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin for these latents; the same ones are asked for at every step of a block, and made once."""
        key = (first_latent, latents.shape)
        if self._tables is None or self._tables[0] != key:
            self._tables = (key, self.transformer.rotary(first_latent, latents))
        return self._tables[1]

    def no_cache(self) -> Tensor:
        """A cache of no tokens."""
        layers, pair, heads, _, head_dim = self.text.shape
        return self.text.new_zeros(layers, pair, heads, 0, head_dim)


class Strategy(Protocol):
    """How a block sees what came before it. The order of calls is: begin, velocity …, remember; begin, …"""

    def begin(self, block: Block) -> None:
        """Before a block's first step."""
        ...

    def velocity(self, branch: Branch, latents: Tensor, timestep: float) -> Tensor:
        """Velocity [1, C, F, h, w] of the block's latents at this timestep."""
        ...

    def remember(self, block: Block, latents: Tensor, upcoming: Block) -> None:
        """Keep what `upcoming` and later blocks need of this block's clean latents."""
        ...

    def forget(self, branch: Branch) -> None:
        """Keep nothing for this branch from now on: it is not asked for again."""
        ...


class Denoiser:
    """The transformer's side of one clip, block after block.

    Args:
        strategy: made for this clip; see `pipeline.strategies.strategy_of`.
        branches: by expert, then by prompt: the prompt itself, then, where guidance is on, the negative one.
        channels: of a latent.
        seed: of the noise, drawn block after block from one CPU generator, as diffusers' pipelines do.
    """

    def __init__(
        self,
        strategy: Strategy,
        branches: Sequence[Sequence[Branch]],
        *,
        plan: Plan,
        schedule: Schedule,
        channels: int,
        device: torch.device,
        seed: int,
    ) -> None:
        self._strategy, self._branches = strategy, [list(expert) for expert in branches]
        self._plan, self._schedule, self._channels = plan, schedule, channels
        self._device = device
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._solver: Solver = solver.Euler()
        self._last: tuple[Block, Tensor] | None = None

    def change_prompt(self, prompt_embeds: Sequence[Tensor]) -> None:
        """Denoise with other prompts from the next `start` on; in the order of `branches_of`.

        What is kept of the block before is kept by that `start`, so already with the new prompt, as LongLive
        (arXiv 2509.22622) does when a person changes it: the next block does not see the old prompt in its neighbour.
        """
        for branches in self._branches:
            for branch, embeds in zip(branches, prompt_embeds, strict=False):  # unguided, there is no negative branch
                branch.change_prompt(embeds)

    def start(self, block: Block) -> Tensor:
        """What the next block starts from, [1, C, F, h, w] at the schedule's first noise level.

        Pure noise, or the last latent carried forward and noised. What is to be kept of the block before is kept now,
        not sooner: its frames went out first.
        """
        self._follow(block)
        shape = (1, self._channels, block.num_latents, self._plan.height, self._plan.width)
        sigmas = self._schedule.sigmas(block)
        for branch in self._branches[self._schedule.expert(sampler.timestep(sigmas[0]))]:
            branch.prepare()  # a GPU is busy with it while the CPU draws noise
        latents = self._noise(torch.empty(shape))
        if self._last is not None and self._schedule.denoise_strength < 1.0:
            latents = sampler.add_noise(self._last[1][:, :, -1:].expand(shape), latents, sigmas[0])
        self._solver = self._new_solver(sigmas)
        self._strategy.begin(block)
        return latents

    def recall(self, block: Block, latents: Tensor, noise_state: Tensor, seed: int) -> Tensor:
        """Take a block that was made before, in place of `start` and its steps; answers with its latents.

        Args:
            noise_state: of the generator behind it. Noise goes on from there, unless this clip's seed is another.
        """
        self._follow(block)
        self._strategy.begin(block)
        if seed == self._generator.initial_seed():
            self._generator.set_state(noise_state)
        self._last = (block, latents.to(self._device))
        return self._last[1]

    def _follow(self, block: Block) -> None:
        """Keep of the block before what this one needs, without the negative prompt where guidance has ended."""
        number = [planned.start for planned in self._plan.blocks].index(block.start)
        if not self._schedule.guides(number):
            for expert in self._branches:
                while len(expert) > 1:
                    self._strategy.forget(expert.pop())
        if self._last is not None:
            self._strategy.remember(*self._last, upcoming=block)

    @property
    def noise_state(self) -> Tensor:
        """State of the generator behind the last block, uint8 [n], for `recall`."""
        return self._generator.get_state()

    def step(self, block: Block, latents: Tensor, sigma: float, next_sigma: float) -> Tensor:
        """One step of the block's latents from noise level `sigma` to `next_sigma`; 0 makes them clean."""
        velocity = self._guided_velocity(latents, sigma)
        latents = self._solver.step(latents, velocity, sigma, next_sigma)
        if next_sigma == 0.0:
            if self._schedule.unweave:
                latents = unweave(latents)
            self._last = (block, latents)
        return latents

    def _guided_velocity(self, latents: Tensor, sigma: float) -> Tensor:
        timestep = sampler.timestep(sigma)
        expert = self._schedule.expert(timestep)
        conditional, *unconditional = [
            self._strategy.velocity(branch, latents, timestep) for branch in self._branches[expert]
        ]
        if not unconditional:
            return conditional
        scale, limit = self._schedule.guidance(expert), self._schedule.guidance_limit
        return sampler.guided(latents, conditional, unconditional[0], sigma, scale, limit)

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self._generator).to(self._device)

    def _new_solver(self, sigmas: tuple[float, ...]) -> Solver:
        match self._schedule.solver:
            case "euler":
                return solver.Euler()
            case "unipc":
                return solver.UniPC(self._schedule.solver_order, sigmas)
            case "renoise":
                return solver.Renoise(self._noise)


def branches_of(engines: Engines, schedule: Schedule, prompt_embeds: Sequence[Tensor]) -> list[list[Branch]]:
    """By expert, then by prompt; the second prompt is left out where nothing is guided."""
    prompts = prompt_embeds if schedule.is_guided else prompt_embeds[:1]
    experts = (engines.transformer, engines.transformer_2)
    return [[Branch(expert, embeds) for embeds in prompts] for expert in experts if expert is not None]
