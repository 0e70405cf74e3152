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
from engines.layer_parts import LAYER_PARTS
from engines.residency import turns
from engines.tensorrt_layers import NAME, LayerRunner, TurnsWithPlans
from engines.tensorrt_library import Library
from engines.tensorrt_plan import Guest, Plan, Plans, Session
from engines.torch_engine import LEFT_FLOAT16, TorchTransformer, TorchVaeDecoder, TorchVaeEncoder
from engines.transformer_step import rotary_tables
from engines.tuning import NOT_COMPILED
from engines.vae_step import CacheShapes


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
        checkpoint: its transformer is given away: to the plans, or to PyTorch, which has the weights of a layered one.
        plans: folder from `engines.build`, checked by `engines.cache`.
        precision: of the plans, for the label.
        taking_turns: see `engines.tensorrt_plan.Turns`, "transformer" for a layered one's weights; None decides by
            free memory.

    Raises:
        EngineError: a plan cannot be read here.
    """
    device = torch.device("cuda", torch.cuda.current_device())
    layered = is_layered(plans)
    if taking_turns is None:
        taking_turns = _taking_turns(plans, device, checkpoint.transformer if layered else None)
    session = Session(library, device, cuda_graphs=cuda_graphs, taking_turns=taking_turns)
    kernels = plans.parent / "kernels"

    def load_plans(graph: str, part_of: Guest | None = None) -> Plans:
        return Plans(
            [
                Plan(session, graph, file, kernels / f"{plans.name}-{file.stem}.bin", part_of=part_of)
                for file in plan_files(plans, graph)
            ]
        )

    text_encoder, first, following = (load_plans(graph) for graph in ("text_encoder", "vae_first", "vae_next"))
    if layered:
        residency = TurnsWithPlans(session)
        run = LayerRunner(lambda part: load_plans(part, residency))
        transformer = TorchTransformer(checkpoint.transformer, residency, run.dtype, NAME, run_layer=run)
    else:
        transformer = TensorRtTransformer(
            load_plans("text_keys_values"), load_plans("transformer"), checkpoint.transformer
        )
        # Not before every plan is there: another backend wants them.
        checkpoint.transformer.blocks = torch.nn.ModuleList()
    return Engines(
        text_encoder=TensorRtTextEncoder(text_encoder),
        transformer=transformer,
        vae_decoder=TensorRtVaeDecoder(first, following, checkpoint.vae, device),
        device=device,
        label=f"{library.label} · {precision} · {torch.cuda.get_device_name(device)}",
        vae_encoder=TorchVaeEncoder(checkpoint.vae, device, torch.bfloat16),
    )


def is_layered(plans: Path) -> bool:
    """Whether a folder has plans of a layer's parts instead of one of the whole transformer."""
    return bool(plan_files(plans, LAYER_PARTS[0]))


def _taking_turns(plans: Path, device: torch.device, layered: WanTransformer3DModel | None) -> tuple[str, ...]:
    """What takes turns, by the sizes of the plans and of a layered transformer's weights beside them."""
    sizes: dict[str, int] = {}
    for file in plans.glob("*.plan"):
        graph = file.stem.partition("-")[0]
        sizes[graph] = sizes.get(graph, 0) + file.stat().st_size
    if layered is not None:
        sizes = {graph: size for graph, size in sizes.items() if graph not in LAYER_PARTS}
        sizes[NAME] = 2 * sum(parameter.numel() for parameter in layered.parameters())
    return turns(sizes, torch.cuda.mem_get_info(device)[0])
