"""The fast backend on NVIDIA GPUs: plans made by `engines.build`, run by TensorRT-RTX or data-centre TensorRT.

Owns which graph serves which call. Does not know how a plan was made or is run, blocks or jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor

from engines.base import Engines, VaeState
from engines.checkpoint import Checkpoint
from engines.compile import plan_files
from engines.errors import EngineError
from engines.residency import turns
from engines.tensorrt_library import Library
from engines.tensorrt_plan import Plan, Plans, Session
from engines.torch_engine import LEFT_FLOAT16, TorchVaeDecoder, TorchVaeEncoder
from engines.transformer_step import rotary_tables
from engines.tuning import NOT_COMPILED
from engines.vae_step import CacheShapes

_GRAPHS = ("text_encoder", "text_keys_values", "transformer", "vae_first", "vae_next")


class TensorRtTextEncoder:
    """`TextEncoder`."""

    def __init__(self, engine: Plans) -> None:
        self._engine = engine

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self._engine({"input_ids": input_ids, "attention_mask": attention_mask})["prompt_embeds"]


class TensorRtTransformer:
    """`Transformer`: one graph gives velocity and, where blocks have context, keys and values; one of them is kept."""

    def __init__(self, text: Plans, step: Plans, source: WanTransformer3DModel) -> None:
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
        self,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: Tensor,
        keep: Callable[[Tensor], None],
    ) -> None:
        for layer in self._run("keys_values", "velocity", latents, timesteps, text, rotary, cache):
            keep(layer)

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
    """`VaeDecoder`: the caches of one latent are the next one's; before the first they are zeros without memory.

    Where a checkpoint's activations leave float16's range, the clip ends with an error and PyTorch, in bfloat16, serves
    all others.
    """

    def __init__(self, first: Plans, following: Plans, vae: AutoencoderKLWan, device: torch.device) -> None:
        self._first, self._next, self._device = first, following, device
        self._vae, self._shapes = vae, CacheShapes(vae)
        self._instead: TorchVaeDecoder | None = None

    def start(self, height: int, width: int) -> VaeState:
        if self._instead is not None:
            return self._instead.start(height, width)
        zero = torch.zeros((), dtype=self._next.dtypes["cache_0"], device=self._device)
        return VaeState(caches=[zero.expand(shape) for shape in self._shapes(height, width)])

    def decode(self, latents: Tensor, state: VaeState) -> Tensor:
        if self._instead is not None:
            return self._instead.decode(latents, state)
        engine = self._next if state.num_latents else self._first
        inputs = {"latents": latents} | {f"cache_{i}": cache for i, cache in enumerate(state.caches)}
        made = engine(inputs)
        state.caches = [made[f"new_cache_{i}"] for i in range(len(state.caches))]
        state.num_latents += 1
        last = state.caches[-1]
        if last.dtype == torch.float16 and not last.isfinite().all():
            self._instead = TorchVaeDecoder(self._vae, self._device, NOT_COMPILED, torch.bfloat16)
            raise EngineError(LEFT_FLOAT16)
        return made["pixels"].cpu()


def load(
    checkpoint: Checkpoint,
    plans: Path,
    library: Library,
    *,
    precision: str,
    cuda_graphs: bool = False,
    taking_turns: Collection[str] | None = None,
) -> Engines:
    """All engines on the current CUDA device.

    Args:
        checkpoint: its transformer's layers are given away, because the plans have the weights.
        plans: folder from `engines.build`, checked by `engines.cache`.
        precision: of the plans, for the label.
        taking_turns: names of graphs whose plans leave the GPU when another plan runs, be it of the same graph; None
            decides by free memory.

    Raises:
        EngineError: a plan cannot be read here.
    """
    device = torch.device("cuda", torch.cuda.current_device())
    if taking_turns is None:
        taking_turns = _taking_turns(plans, device)
    session = Session(library, device, cuda_graphs=cuda_graphs, taking_turns=taking_turns)
    kernels = plans.parent / "kernels"

    def load_plans(graph: str) -> Plans:
        files = plan_files(plans, graph)
        return Plans([Plan(session, graph, file, kernels / f"{plans.name}-{file.stem}.bin") for file in files])

    text_encoder, text, step, first, following = (load_plans(graph) for graph in _GRAPHS)
    checkpoint.transformer.blocks = torch.nn.ModuleList()  # not before every plan is there: another backend wants them
    return Engines(
        text_encoder=TensorRtTextEncoder(text_encoder),
        transformer=TensorRtTransformer(text, step, checkpoint.transformer),
        vae_decoder=TensorRtVaeDecoder(first, following, checkpoint.vae, device),
        device=device,
        label=f"{library.label} · {precision} · {torch.cuda.get_device_name(device)}",
        vae_encoder=TorchVaeEncoder(checkpoint.vae, device, torch.bfloat16),
    )


def _taking_turns(plans: Path, device: torch.device) -> tuple[str, ...]:
    sizes = {graph: sum(file.stat().st_size for file in plan_files(plans, graph)) for graph in _GRAPHS}
    return turns(sizes, torch.cuda.mem_get_info(device)[0])
