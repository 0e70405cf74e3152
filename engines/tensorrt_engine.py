"""The fast backend on NVIDIA GPUs: plans made by `engines.build`, run by TensorRT-RTX or data-centre TensorRT.

Owns which plan serves which call. Does not know how a plan was made or is run, blocks or jobs.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor

from engines.base import Engines, VaeState
from engines.checkpoint import Checkpoint
from engines.tensorrt_library import Library
from engines.tensorrt_plan import Plan, Session
from engines.torch_engine import TorchVaeEncoder
from engines.transformer_step import rotary_tables
from engines.vae_step import CacheShapes


class TensorRtTextEncoder:
    """`TextEncoder`."""

    def __init__(self, engine: Plan) -> None:
        self._engine = engine

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self._engine({"input_ids": input_ids, "attention_mask": attention_mask})["prompt_embeds"]


class TensorRtTransformer:
    """`Transformer`: one plan gives velocity and keys and values; which of them is kept is the caller's question."""

    def __init__(self, text: Plan, step: Plan, source: WanTransformer3DModel) -> None:
        self._text, self._step, self._source = text, step, source

    def text_keys_values(self, prompt_embeds: Tensor) -> Tensor:
        return self._text({"prompt_embeds": prompt_embeds})["text"]

    def rotary(self, first_latent: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        _, _, frames, height, width = latents.shape
        _, p_h, p_w = self._source.config["patch_size"]
        grid = (frames, height // p_h, width // p_w, -1)
        cos, sin = rotary_tables(self._source, first_latent, frames, height, width)
        return cos.view(grid).to(latents.device), sin.view(grid).to(latents.device)

    def velocity(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> Tensor:
        return self._run("velocity", "keys_values", latents, timesteps, text, rotary, cache)

    def keys_values(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> Tensor:
        return self._run("keys_values", "velocity", latents, timesteps, text, rotary, cache)

    def _run(
        self,
        keep: str,
        drop: str,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: Tensor,
    ) -> Tensor:
        inputs = {"latents": latents, "timesteps": timesteps, "text": text, "cache": cache}
        return self._step(inputs | {"cos": rotary[0], "sin": rotary[1]}, drop=(drop,))[keep]


class TensorRtVaeDecoder:
    """`VaeDecoder`: the caches of two latents alternate as inputs and outputs, so nothing is copied."""

    def __init__(self, first: Plan, following: Plan, vae: AutoencoderKLWan, device: torch.device) -> None:
        self._first, self._next, self._device = first, following, device
        self._shapes = CacheShapes(vae)

    def start(self, height: int, width: int) -> VaeState:
        shapes, dtype = self._shapes(height, width), self._next.dtypes["cache_0"]
        caches, spare = ([torch.zeros(s, dtype=dtype, device=self._device) for s in shapes] for _ in range(2))
        return VaeState(caches=caches, spare=spare)

    def decode(self, latents: Tensor, state: VaeState) -> Tensor:
        engine = self._next if state.num_latents else self._first
        inputs = {"latents": latents} | {f"cache_{i}": cache for i, cache in enumerate(state.caches)}
        into = {f"new_cache_{i}": spare for i, spare in enumerate(state.spare)}
        pixels = engine(inputs, into=into)["pixels"]
        state.caches, state.spare = state.spare, state.caches
        state.num_latents += 1
        return pixels.cpu()


def load(
    checkpoint: Checkpoint, plans: Path, library: Library, *, precision: str, cuda_graphs: bool = False
) -> Engines:
    """All engines on the current CUDA device.

    Args:
        plans: folder from `engines.build`, checked by `engines.cache`.
        precision: of the plans, for the label.

    Raises:
        EngineError: a plan cannot be read here.
    """
    device = torch.device("cuda", torch.cuda.current_device())
    session = Session(library, device, cuda_graphs=cuda_graphs)
    kernels = plans.parent / "kernels"

    def plan(name: str) -> Plan:
        return Plan(session, plans / f"{name}.plan", kernels / f"{plans.name}-{name}.bin")

    transformer = TensorRtTransformer(plan("text_keys_values"), plan("transformer"), checkpoint.transformer)
    return Engines(
        text_encoder=TensorRtTextEncoder(plan("text_encoder")),
        transformer=transformer,
        vae_decoder=TensorRtVaeDecoder(plan("vae_first"), plan("vae_next"), checkpoint.vae, device),
        device=device,
        label=f"{library.label} · {precision} · {torch.cuda.get_device_name(device)}",
        vae_encoder=TorchVaeEncoder(checkpoint.vae, device, torch.bfloat16),
    )
