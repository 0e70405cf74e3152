"""What a WAN checkpoint says of itself: latent grid, block strategy, schedule, defaults. No weights are read here.

Owns reading it from the checkpoint's own configuration files: `streaming.json` where there is one (written by us:
the embedded model, `pipeline.convert`), else what `model_index.json` and the components say, with the defaults of the
public model cards. Does not know engines or requests.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from engines.checkpoint import Configs
from engines.errors import CheckpointError
from pipeline.blocks import Grid
from pipeline.request import MAX_STEPS
from pipeline.sampler import NUM_TRAIN_TIMESTEPS

StrategyName = Literal["causal", "chained"]
ContextKind = Literal["latents", "frame"]
SolverName = Literal["euler", "unipc", "renoise"]

_REQUIRED = frozenset(
    {
        "first_block_latents",
        "block_latents",
        "sink_latents",
        "window_latents",
        "num_inference_steps",
        "guidance_scale",
        "max_sequence_length",
    }
)
_OPTIONAL: dict[str, Any] = {
    "flow_shift": None,
    "strategy": "causal",
    "context": "latents",
    "solver": None,
    "timesteps": None,
    "sigma_limits": [1.0, 1 / NUM_TRAIN_TIMESTEPS],
    "guidance_scale_2": None,
    "guided_blocks": None,
    "guidance_limit": None,
    "unweave": False,
}
_WHOLE_CLIP = {"first_block_latents": 0, "block_latents": 0, "sink_latents": 0, "window_latents": 0}
# The first block of 5 latents is 17 frames. A later one of 8 behind one context latent halves the number of seams
# against blocks of 4, for a forward of 9 latents.
_CHAINED = {
    "first_block_latents": 5,
    "block_latents": 8,
    "sink_latents": 0,
    "window_latents": 1,
    "strategy": "chained",
    "context": "frame",
}


@dataclass(frozen=True, slots=True)
class Spec:
    """What a checkpoint says of itself.

    Attributes:
        name: folder or hub name, for people.
        strategy: how a block sees what came before it, see `pipeline.denoise.Strategy`.
        context: what a chained block is given: the latents before it, or the last frame, encoded alone.
        channels: of a latent.
        num_inference_steps, guidance_scale: defaults; guidance 1 means none.
        guidance_scale_2: default of the low-noise expert, None where it is the same or there is none.
        guided_blocks: how many blocks, from the first, the default guidance is for; None for all. Later blocks have
            their context to hold on to, and guidance doubles their cost.
        guidance_limit: see `pipeline.sampler.guided`; None for plain classifier-free guidance.
        unweave: whether the weave of its transformer is taken out of clean latents, see `pipeline.weave`.
        boundary_timestep: below it the second expert (`transformer_2`) denoises; None with one transformer.
        flow_shift, sigma_limits: of the schedule, see `pipeline.sampler.sigmas`.
        solver, solver_order: see `pipeline.solver`; the order is UniPC's.
        timesteps: the only ones that a distilled student knows, from the first down; None for any.
        max_sequence_length: tokens of a prompt.
    """

    name: str
    grid: Grid
    strategy: StrategyName
    context: ContextKind
    channels: int
    num_inference_steps: int
    guidance_scale: float
    guidance_scale_2: float | None
    guided_blocks: int | None
    guidance_limit: float | None
    unweave: bool
    boundary_timestep: float | None
    flow_shift: float
    sigma_limits: tuple[float, float]
    solver: SolverName
    solver_order: int
    timesteps: tuple[int, ...] | None
    max_sequence_length: int

    def whole_clip(self) -> Spec:
        """The same checkpoint with the whole clip as one block: nothing streams before its end."""
        return dataclasses.replace(self, grid=dataclasses.replace(self.grid, first_block=0, block=0, sink=0, window=0))


def read_spec(configs: Configs, streaming: Mapping[str, Any] | None = None) -> Spec:
    """The specification.

    Args:
        streaming: in place of the folder's streaming.json, for a checkpoint that is on no disk.

    Raises:
        CheckpointError: streaming.json has unknown or missing keys, or the scheduler is of an unknown class.
    """
    said = _OPTIONAL | (_streaming(configs) if streaming is None else dict(streaming))
    transformer, vae, scheduler = configs.transformer, configs.vae, configs.scheduler
    grid = Grid(
        scale_spatial=_scale_spatial(vae),
        scale_temporal=2 ** sum(vae["temperal_downsample"]),
        patch=transformer["patch_size"][1],
        first_block=said["first_block_latents"],
        block=said["block_latents"],
        sink=said["sink_latents"],
        window=said["window_latents"],
    )
    boundary = configs.index.get("boundary_ratio")
    shift = (
        scheduler.get("flow_shift", scheduler.get("shift", 1.0)) if said["flow_shift"] is None else said["flow_shift"]
    )
    return Spec(
        name=configs.folder.name,
        grid=grid,
        strategy=_one_of(configs, said, "strategy", get_args(StrategyName)),
        context=_one_of(configs, said, "context", get_args(ContextKind)),
        channels=transformer["in_channels"],
        num_inference_steps=said["num_inference_steps"],
        guidance_scale=said["guidance_scale"],
        guidance_scale_2=said["guidance_scale_2"],
        guided_blocks=said["guided_blocks"],
        guidance_limit=said["guidance_limit"],
        unweave=said["unweave"],
        boundary_timestep=None if boundary is None else boundary * NUM_TRAIN_TIMESTEPS,
        flow_shift=shift,
        sigma_limits=cast("tuple[float, float]", tuple(said["sigma_limits"])),
        solver=_solver(configs) if said["solver"] is None else _one_of(configs, said, "solver", get_args(SolverName)),
        solver_order=scheduler.get("solver_order", 1),
        timesteps=None if said["timesteps"] is None else tuple(said["timesteps"]),
        max_sequence_length=said["max_sequence_length"],
    )


def _streaming(configs: Configs) -> dict[str, Any]:
    path = configs.folder / "streaming.json"
    if not path.is_file():
        return _public(configs)
    streaming: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    wrong = (_REQUIRED - streaming.keys()) | (streaming.keys() - _REQUIRED - _OPTIONAL.keys())
    if wrong:
        listed = ", ".join(sorted(wrong))
        raise CheckpointError(f"{configs.folder.name}/streaming.json: missing or unknown: {listed}")
    return streaming


def _public(configs: Configs) -> dict[str, Any]:
    """What a public checkpoint's model card gives.

    TI2V-5B was trained with a clean first-frame latent in front (`expand_timesteps`), so its blocks can be chained;
    other bidirectional checkpoints denoise a clip as a whole.
    """
    index = configs.index
    is_student = index.get("_class_name") == "WanDMDPipeline"
    # The student's index does not say expand_timesteps; the 16 x 16 autoencoder is TI2V's alone.
    takes_context = index.get("expand_timesteps", is_student and _scale_spatial(configs.vae) == 16)
    said: dict[str, Any] = {"max_sequence_length": 512, **(_CHAINED if takes_context else _WHOLE_CLIP)}
    if is_student:  # FastVideo/FastWan2.2-TI2V-5B-FullAttn-Diffusers
        return said | {
            "num_inference_steps": 3,
            "guidance_scale": 1.0,
            "solver": "renoise",
            "timesteps": [1000, 757, 522],
        }
    if index.get("boundary_ratio") is not None:  # Wan-AI/Wan2.2-T2V-A14B-Diffusers
        return said | {"num_inference_steps": 40, "guidance_scale": 4.0, "guidance_scale_2": 3.0}
    return said | {"num_inference_steps": 50, "guidance_scale": 5.0}  # Wan-AI/Wan2.2-TI2V-5B-Diffusers


def _scale_spatial(vae: dict[str, Any]) -> int:
    return 2 ** len(vae["temperal_downsample"]) * (vae.get("patch_size") or 1)


def _solver(configs: Configs) -> SolverName:
    scheduler = configs.scheduler
    match scheduler.get("_class_name"):
        case "FlowMatchEulerDiscreteScheduler":
            return "euler"
        case "UniPCMultistepScheduler":
            uncorrected = set(range(MAX_STEPS)) <= set(scheduler.get("disable_corrector", []))
            return "euler" if scheduler["solver_order"] == 1 and uncorrected else "unipc"
        case other:
            known = "UniPCMultistepScheduler, FlowMatchEulerDiscreteScheduler"
            raise CheckpointError(f"{configs.folder.name}: scheduler is {other}; needed: one of {known}")


def _one_of(configs: Configs, said: dict[str, Any], key: str, allowed: tuple[str, ...]) -> Any:
    if said[key] not in allowed:
        listed = ", ".join(allowed)
        raise CheckpointError(f"{configs.folder.name}/streaming.json: {key} is {said[key]!r}; allowed: {listed}")
    return said[key]
