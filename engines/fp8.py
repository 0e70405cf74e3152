"""Linears in FP8 (e4m3), rowwise scaled, chosen by the error that each kind makes; keys and values in FP8.

Owns the quantised linear and the choice. On a GPU the product is `torch._scaled_mm`; elsewhere the same rounding is
emulated in float32, so that the choice and its error can be tested without one. Does not know what a network computes.

Rowwise scales: a scale for every output channel of the weights and for every token of the activations, as in "FP8
Formats for Deep Learning" (arXiv 2209.05433) with e4m3 for both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

_E4M3 = CACHE_DTYPE = torch.float8_e4m3fn
LARGEST = torch.finfo(_E4M3).max
_SMALLEST_SCALE = 1e-12  # a row of zeros


class Fp8Linear(nn.Module):
    """A linear whose weights are stored, and whose product is computed, in FP8.

    Args:
        linear: replaced by this; in_features and out_features are multiples of 16, as the GPU's product needs.
    """

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        with torch.inference_mode(False):  # weights may move, which PyTorch forbids what is made for inference
            weight, scale = _rows_to_fp8(linear.weight.detach())
        self.register_buffer("weight", weight)  # [out, in]
        self.register_buffer("weight_scale", scale)  # float32 [out, 1]
        self.bias: nn.Parameter | None = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] float -> [..., out] of the same dtype."""
        rows, scale = _rows_to_fp8(x.reshape(-1, x.shape[-1]))
        return self.product(rows, scale, x.dtype).view(*x.shape[:-1], -1)

    def product(self, rows: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
        """rows [n, in] e4m3 and their scales, float32 [n, 1] -> [n, out] of `dtype`."""
        if rows.is_cuda:
            out = torch._scaled_mm(  # pyright: ignore[reportPrivateUsage]
                rows,
                self.weight.t(),
                scale_a=scale,
                scale_b=self.weight_scale.t(),
                out_dtype=torch.bfloat16,
                use_fast_accum=True,  # sums of fewer bits than float32's; what that costs is in the measured error
            )
        else:
            out = (rows.float() @ self.weight.float().t()) * scale * self.weight_scale.t()
        out = out.to(dtype)
        return out if self.bias is None else out + self.bias


def to_cache(keys_values: Tensor) -> Tensor:
    """Keys and values to e4m3 without a scale: keys are normed, so that both lie well within its range."""
    return keys_values if keys_values.dtype == CACHE_DTYPE else to_e4m3(keys_values)


def to_e4m3(x: Tensor) -> Tensor:
    """Round; what is out of range becomes the largest number."""
    return x.clamp(-LARGEST, LARGEST).to(_E4M3)


def linears(module: nn.Module) -> dict[str, nn.Linear]:
    """The linears of the module that FP8 can take, by name."""
    found = {name: child for name, child in module.named_modules() if isinstance(child, nn.Linear)}
    return {n: child for n, child in found.items() if child.in_features % 16 == child.out_features % 16 == 0}


def kinds(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by what the linear is for, whichever layer it is in: layers that are quantised alike share one graph.

    A layer's number is the first in a name; "attn1" and "attn2" behind it are two kinds.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"(^|\.)\d+\.", r"\1*.", name, count=1), []).append(name)
    return groups


Make = Callable[[str, nn.Linear], nn.Module]
"""A linear in FP8 in place of the one of this name."""


def as_fp8(_: str, linear: nn.Linear) -> nn.Module:
    """`Fp8Linear` as a `Make`."""
    return Fp8Linear(linear)


def measure(module: nn.Module, run: Callable[[], Tensor], exact: Tensor, make: Make = as_fp8) -> dict[str, float]:
    """Relative error against `exact` of `run()`, which uses the module, with each kind of its linears alone in FP8."""
    errors: dict[str, float] = {}
    for group, names in kinds(linears(module)).items():
        held = {name: module.get_submodule(name) for name in names}
        quantise(module, names, make)
        errors[group] = relative_error(run(), exact)
        for name, linear in held.items():
            module.set_submodule(name, linear)
    return errors


def choose(errors: Mapping[str, float], sizes: Mapping[str, int], budget: float) -> tuple[str, ...]:
    """The linears to quantise so that their errors, taken as independent, stay within `budget` together.

    The most weights for the least squared error come first; a linear of error 0 was not run, so that nothing is known
    of it, and it stays as it is.
    """
    used = (name for name, error in errors.items() if error > 0.0)
    by_price = sorted(used, key=lambda name: (errors[name] ** 2 / sizes[name], name))
    chosen: list[str] = []
    squares = 0.0
    for name in by_price:
        if math.sqrt(squares + errors[name] ** 2) > budget:
            continue
        squares += errors[name] ** 2
        chosen.append(name)
    return tuple(sorted(chosen))


def quantise_within(
    module: nn.Module,
    run: Callable[[], Tensor],
    budget: float,
    exact: Tensor,
    errors: Mapping[str, float],
    make: Make = as_fp8,
) -> tuple[tuple[str, ...], float]:
    """Quantise as much of the module as keeps the measured relative error of `run()` within `budget`.

    Args:
        exact: what `run()` gives with nothing in FP8; the error with no linear in FP8 is within `budget`.
        errors: of each kind alone, from `measure`.

    Returns:
        the names of the linears that are FP8 now, and the error measured with all of them.
    """
    originals = linears(module)
    groups = kinds(originals)
    sizes = {group: sum(originals[name].weight.numel() for name in names) for group, names in groups.items()}
    allowance, tried = budget, None
    while True:
        picked = choose(errors, sizes, allowance)
        if picked != tried:
            chosen = tuple(sorted(name for group in picked for name in groups[group]))
            quantise(module, chosen, make)
            error = relative_error(run(), exact)
            if error <= budget or not chosen:
                return chosen, error
            for name in chosen:  # errors that are not independent add up to more: try with less
                module.set_submodule(name, originals[name])
            tried = picked
        allowance *= 0.95


def quantise(module: nn.Module, names: Iterable[str], make: Make = as_fp8) -> None:
    """Replace these linears of the module by FP8 ones."""
    for name in names:
        linear = module.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        module.set_submodule(name, make(name, linear))


def _rows_to_fp8(x: Tensor) -> tuple[Tensor, Tensor]:
    """x [rows, n] -> e4m3 [rows, n] and float32 [rows, 1] with x near the product of both."""
    scale = (x.abs().amax(dim=1, keepdim=True).float() / LARGEST).clamp_min(_SMALLEST_SCALE)
    return to_e4m3(x.float() / scale), scale


def relative_error(a: Tensor, b: Tensor) -> float:
    """Of `a` against `b`, in the Euclidean norm."""
    return float((a.float() - b.float()).norm() / b.float().norm())
