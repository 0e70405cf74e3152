"""How the PyTorch engines are sped up: what costs a GPU nothing, compilation and FP8.

Owns applying it to the stateless steps. Does not know blocks or jobs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers.models.activations import GELU
from diffusers.models.autoencoders.autoencoder_kl_wan import WanDecoder3d
from torch import Tensor, nn

from engines import FP8_ERROR, fp8, vae_convs
from engines.fp8_attention import Attention
from engines.residency import Visits
from engines.transformer_step import CompileOptions, TransformerStep, random_inputs, with_text
from engines.vae_step import VaeStep


@dataclass(frozen=True, slots=True)
class Tuning:
    """What to do.

    Attributes:
        compile: `torch.compile` of each transformer layer (one graph for all of them) and of the VAE steps.
        cuda_graphs: let compiled graphs be replayed as CUDA graphs.
        fp8_error: largest relative error of the velocity that FP8 may make; None takes no FP8 for products.
        fp8_attention: what computes self-attention in FP8, see `engines.fp8_attention`; its error comes first, linears
            get what is left of `fp8_error`. Needs `fp8_error`, and pays with `fp8_cache`.
        channels_last: the VAE's weights and activations with channels innermost.
        fp8_cache: keep keys and values of earlier latents in FP8, at half the memory.
        merged_upsampling: the VAE's upsampling and the convolution behind it as one, see `engines.vae_convs`.
        vae_frames: frames that the VAE decodes at a time where they are largest; None decodes all four of a latent's.
    """

    compile: bool = False
    cuda_graphs: bool = False
    fp8_error: float | None = None
    channels_last: bool = False
    fp8_cache: bool = False
    fp8_attention: Attention | None = None
    merged_upsampling: bool = False
    vae_frames: int | None = None

    def label(self, made: Quantised) -> str:
        """For people: what is on, such as "fp8 · compiled"; "" where nothing is.

        Args:
            made: what the budget allowed for.
        """
        fp8 = "fp8 with attention" if made.attention else "fp8"
        return " · ".join(name for name, on in ((fp8, self.fp8_error is not None), ("compiled", self.compile)) if on)


NOT_COMPILED = Tuning(channels_last=True, merged_upsampling=True, vae_frames=2)
_COMPILED = replace(NOT_COMPILED, compile=True)
TUNINGS = {"compiled": _COMPILED, "fp8": replace(_COMPILED, fp8_error=FP8_ERROR, fp8_cache=True)}
"""By name of the backend that a person chooses."""
_MAX_GRAPHS = 256
FP8_CAPABILITY = (8, 9)
"""Compute capability from which on a GPU multiplies in FP8."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What a transformer step computes in FP8.

    Attributes:
        linears: their names.
        attention: whether self-attention is.
        error: relative error of the velocity that all of it makes on random inputs.
    """

    linears: tuple[str, ...] = ()
    attention: bool = False
    error: float = 0.0


def tune_transformer(step: TransformerStep, tuning: Tuning, device: torch.device | None = None) -> Quantised:
    """Apply to a transformer step, in its precision.

    Args:
        device: where a step that lies in host memory is tried out, because it will be there in turn only; None for one
            that lies on its device. Attention in FP8 is left out then: its projection's weights are used directly.
    """
    quantised = Quantised()
    if tuning.fp8_error is not None:
        visits = None if device is None else Visits(step, device)
        with torch.inference_mode():
            quantised = _quantise(step, tuning.fp8_error, None if visits else tuning.fp8_attention, visits)
        if visits is not None:
            visits.end()
    if tuning.compile:
        for name, module in list(step.named_modules()):
            if isinstance(module, GELU) and module.approximate == "tanh":
                step.set_submodule(name, _SigmoidGelu(module))
        step.compile_layers(_options(tuning))
    return quantised


def _quantise(
    step: TransformerStep, budget: float, attention: Attention | None, visits: Visits | None = None
) -> Quantised:
    sample = random_inputs(step)

    def make(name: str, linear: nn.Linear) -> nn.Module:
        made = fp8.as_fp8(name, linear)
        return made if visits is None else visits.add(made)

    def run() -> Tensor:
        return step.velocity(*with_text(step, sample))  # made anew each time: its linears count, too

    exact = run()
    # Before attention is in FP8: whatever changes its inputs changes how they are rounded, and each kind of linear
    # would be charged for that.
    errors = fp8.measure(step, run, exact, make)
    step.fp8_attention = attention
    if fp8.relative_error(run(), exact) > budget:
        step.fp8_attention = None
    linears, error = fp8.quantise_within(step, run, budget, exact, errors, make)
    return Quantised(linears, step.fp8_attention is not None, error)


class _SigmoidGelu(nn.Module):
    """diffusers' `GELU` with its tanh written as a sigmoid: the same function, without what compilers make of a tanh.

    Not for eager use: there each of its operations would be rounded.
    """

    def __init__(self, gelu: GELU) -> None:
        super().__init__()
        self.proj = gelu.proj

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., dim_in] -> [..., dim_out]."""
        x = self.proj(hidden_states)
        return x * torch.sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))


def tune_decoder(decoder: WanDecoder3d, tuning: Tuning) -> None:
    """Apply to a VAE decoder in its own precision, before steps are made of it."""
    if tuning.merged_upsampling:
        vae_convs.merge_upsampling(decoder)


def tune_vae(step: VaeStep, tuning: Tuning) -> None:
    """Apply to a VAE step, on its device and in its precision."""
    if tuning.channels_last:
        for module in step.modules():
            if isinstance(module, nn.Conv3d):
                module.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
            elif isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if tuning.compile:
        step.compile_parts(_options(tuning))


def _options(tuning: Tuning) -> CompileOptions:
    # Each size, block and length of context is a graph of its own; PyTorch gives up behind the eighth.
    config: Any = torch._dynamo.config  # pyright: ignore[reportPrivateUsage]
    config.recompile_limit = max(config.recompile_limit, _MAX_GRAPHS)
    return {"triton.cudagraphs": tuning.cuda_graphs}
