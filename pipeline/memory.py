"""What a request needs before anything is loaded: peak memory and time, on this machine, for this checkpoint.

Owns the formula: both are sums of named quantities that follow from the request and the architecture by arithmetic,
each times a coefficient. The coefficients are measured (`python -m bench.memory_fit`) and lie in coefficients.json.
Does not know engines; it loads nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from engines.checkpoint import Configs, count_parameters
from engines.errors import CheckpointError
from pipeline.blocks import Block, Plan
from pipeline.blocks import plan as plan_blocks
from pipeline.denoise import Schedule
from pipeline.request import VideoRequest
from pipeline.spec import Spec

COEFFICIENTS = Path(__file__).with_name("coefficients.json")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the engines will compute.

    Attributes:
        name: of the GPU, or "CPU".
        free_bytes, total_bytes: of the GPU's memory, or of the host's.
        weight_bytes: of one weight in the precision that is used there.
    """

    name: str
    is_gpu: bool
    free_bytes: int
    total_bytes: int
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """What memory and time depend on, of one checkpoint.

    Attributes:
        text_parameters, transformer_parameters, vae_parameters: numbers of weights; the transformer's of one expert.
        num_experts: 1 or 2.
        num_layers, dim, ffn_dim: of the transformer.
        vae_width: channels of the decoder's last stage before pixels, by pixel.
    """

    text_parameters: int
    transformer_parameters: int
    vae_parameters: int
    num_experts: int
    num_layers: int
    dim: int
    ffn_dim: int
    vae_width: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a request will take.

    Attributes:
        memory_bytes: predicted peak, on the GPU where there is one, else of this process.
        seconds, first_frame_seconds: from the request to the last and to the first encoded frame, warm.
        fits: whether the peak is within what is free now.
        one_at_a_time: whether text encoder and transformers have to take turns on the device.
        fitted_on: the machine that the coefficients were measured on.
    """

    memory_bytes: int
    seconds: float
    first_frame_seconds: float
    fits: bool
    one_at_a_time: bool
    fitted_on: str


def this_machine() -> Machine:
    """The first CUDA GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return Machine(torch.cuda.get_device_name(), True, free, total, torch.bfloat16.itemsize)
    memory = psutil.virtual_memory()
    return Machine("CPU", False, memory.available, memory.total, torch.float32.itemsize)


def read_sizes(configs: Configs) -> Sizes:
    """The sizes of a checkpoint on disk.

    Raises:
        CheckpointError: see `engines.checkpoint.count_parameters`.
    """
    return sizes_of(configs.transformer, configs.vae, count_parameters(configs))


def sizes_of(transformer: Mapping[str, Any], vae: Mapping[str, Any], parameters: Mapping[str, int]) -> Sizes:
    """The sizes of an architecture; `parameters` by component."""
    return Sizes(
        text_parameters=parameters["text_encoder"],
        transformer_parameters=parameters["transformer"],
        vae_parameters=parameters["vae"],
        num_experts=1 + ("transformer_2" in parameters),
        num_layers=transformer["num_layers"],
        dim=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        ffn_dim=transformer["ffn_dim"],
        vae_width=(vae.get("decoder_base_dim") or vae["base_dim"]) / (vae.get("patch_size") or 1) ** 2,
    )


def predict(request: VideoRequest, spec: Spec, sizes: Sizes, machine: Machine) -> Prediction:
    """Predict one clip of a request.

    Raises:
        RequestError: see `pipeline.denoise.Schedule.of`.
    """
    coefficients = coefficients_of(machine)
    together = memory_terms(request, spec, sizes, machine.weight_bytes, one_at_a_time=False)
    in_turn = memory_terms(request, spec, sizes, machine.weight_bytes, one_at_a_time=True)
    needed = weighted_sum(coefficients["memory_bytes"], together)
    one_at_a_time = machine.is_gpu and needed > machine.free_bytes
    if one_at_a_time:
        needed = weighted_sum(coefficients["memory_bytes"], in_turn)
    whole, first = time_terms(request, spec, sizes)
    return Prediction(
        memory_bytes=round(needed),
        seconds=weighted_sum(coefficients["seconds"], whole),
        first_frame_seconds=weighted_sum(coefficients["seconds"], first),
        fits=needed <= machine.free_bytes,
        one_at_a_time=one_at_a_time,
        fitted_on=coefficients["fitted_on"],
    )


def require(configs: Configs, machine: Machine, *, in_fp8: bool = False) -> None:
    """Refuse a checkpoint whose weights alone do not fit.

    Args:
        in_fp8: whether the transformer's weights will take a byte each.

    Raises:
        CheckpointError: says how much is needed and how much is free.
    """
    sizes = read_sizes(configs)
    coefficients = coefficients_of(machine)["memory_bytes"]
    if in_fp8:
        sizes = replace(sizes, transformer_parameters=sizes.transformer_parameters // machine.weight_bytes)
    weights = coefficients["weights"] * _weights(sizes, machine.weight_bytes, one_at_a_time=machine.is_gpu)
    if weights > machine.free_bytes:
        raise CheckpointError(
            f"{configs.folder.name}: its weights need {weights / 1e9:.1f} GB on {machine.name}, "
            f"{machine.free_bytes / 1e9:.1f} GB are free (of {machine.total_bytes / 1e9:.1f} GB)"
        )


def memory_terms(
    request: VideoRequest, spec: Spec, sizes: Sizes, weight_bytes: int, *, one_at_a_time: bool
) -> dict[str, float]:
    """The quantities, in bytes, that the peak is a weighted sum of; "fixed" is 1."""
    plan, schedule = plan_blocks(request, spec.grid), Schedule.of(request, spec)
    tokens = _tokens(spec, plan)
    own = max(_in_forward(spec, block.num_latents, len(block.context)) for block in plan.blocks) * tokens
    cached = max(len(block.context) for block in plan.blocks) * tokens if spec.strategy == "causal" else 0
    caches = sizes.num_experts * (1 + schedule.guides(1))  # the first block looks at none
    pixels = plan.height * plan.width * spec.grid.scale_spatial**2 * spec.grid.scale_temporal
    return {
        "fixed": 1.0,
        "weights": _weights(sizes, weight_bytes, one_at_a_time=one_at_a_time),
        "kv_cache": caches * cached * 2.0 * sizes.num_layers * sizes.dim * weight_bytes,
        "transformer_activations": (own * (4.0 * sizes.dim + sizes.ffn_dim) + (own + cached) * 2.0 * sizes.dim)
        * weight_bytes,
        "vae_activations": pixels * sizes.vae_width * weight_bytes,
    }


def time_terms(request: VideoRequest, spec: Spec, sizes: Sizes) -> tuple[dict[str, float], dict[str, float]]:
    """The quantities that time is a weighted sum of: for the whole clip, and up to its first frame."""
    plan, schedule = plan_blocks(request, spec.grid), Schedule.of(request, spec)
    whole = {"fixed": 1.0, "forwards": 0.0, "linear_tflop": 0.0, "attention_tflop": 0.0, "vae_gpixel": 0.0}
    first: dict[str, float] = {}
    for number, block in enumerate(plan.blocks):
        forwards = (1 + schedule.guides(number)) * (len(schedule.sigmas(block)) - 1)
        first = first or {
            **whole,
            **_forward_terms(forwards, block, spec, sizes, plan),
            "vae_gpixel": _gpixel(1, spec, plan),
        }
        if spec.strategy == "causal" and block is not plan.blocks[-1]:
            forwards += 1 + schedule.guides(number + 1)  # the caches of its clean latents
        for name, value in _forward_terms(forwards, block, spec, sizes, plan).items():
            whole[name] += value
    whole["vae_gpixel"] = _gpixel(plan.num_frames, spec, plan)
    return whole, first


def late_terms(request: VideoRequest, spec: Spec, sizes: Sizes, number: int) -> dict[str, float]:
    """The same quantities from behind the first step of one block to its last frame: what is warm by then."""
    plan, schedule = plan_blocks(request, spec.grid), Schedule.of(request, spec)
    block = plan.blocks[number]
    forwards = (1 + schedule.guides(number)) * (len(schedule.sigmas(block)) - 2)
    frames = block.num_latents * spec.grid.scale_temporal
    if number == 0:
        frames -= spec.grid.scale_temporal - 1  # the clip's first latent gives one frame
    return {**_forward_terms(forwards, block, spec, sizes, plan), "vae_gpixel": _gpixel(frames, spec, plan)}


def _forward_terms(forwards: int, block: Block, spec: Spec, sizes: Sizes, plan: Plan) -> dict[str, float]:
    tokens = _tokens(spec, plan)
    own = _in_forward(spec, block.num_latents, len(block.context)) * tokens
    seen = (block.num_latents + len(block.context)) * tokens
    return {
        "forwards": float(forwards),
        "linear_tflop": forwards * linear_tflop(sizes, own),
        "attention_tflop": forwards * attention_tflop(sizes, own, seen),
    }


def _gpixel(frames: int, spec: Spec, plan: Plan) -> float:
    return plan.height * plan.width * spec.grid.scale_spatial**2 * frames / 1e9


def linear_tflop(sizes: Sizes, tokens: int) -> float:
    """Arithmetic of one forward's matrix products with weights."""
    return 2.0 * sizes.transformer_parameters * tokens / 1e12


def attention_tflop(sizes: Sizes, queries: int, keys: int) -> float:
    """Arithmetic of one forward's self-attention."""
    return 4.0 * queries * keys * sizes.dim * sizes.num_layers / 1e12


def coefficients_of(machine: Machine) -> dict[str, Any]:
    """Those of `read_coefficients` that are for this kind of machine."""
    return read_coefficients()["cuda" if machine.is_gpu else "cpu"]


def read_coefficients() -> dict[str, dict[str, Any]]:
    """By kind of machine ("cpu", "cuda"): `memory_bytes`, `seconds`, `fitted_on`."""
    return json.loads(COEFFICIENTS.read_text(encoding="utf-8"))


def _weights(sizes: Sizes, weight_bytes: int, *, one_at_a_time: bool) -> float:
    text, transformer = sizes.text_parameters, sizes.transformer_parameters
    movable = max(text, transformer) if one_at_a_time else text + sizes.num_experts * transformer
    return float((movable + sizes.vae_parameters) * weight_bytes)


def _tokens(spec: Spec, plan: Plan) -> int:
    """Tokens of one latent."""
    return plan.height * plan.width // spec.grid.patch**2


def _in_forward(spec: Spec, block: int, context: int) -> int:
    """Latents that go through the transformer: a chained block takes its context along."""
    return block + (context if spec.strategy == "chained" else 0)


def weighted_sum(coefficients: Mapping[str, float], terms: Mapping[str, float]) -> float:
    """What these quantities come to: bytes or seconds, as the coefficients are."""
    return sum(coefficients[name] * value for name, value in terms.items())
