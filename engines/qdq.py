"""Linears in FP8 for engines: quantisation and its undoing are written into the graph, for a builder to fuse.

Owns the linear, its scales and their calibration. Weights have a scale for each output channel, activations one for
all of them, fixed when the graph is made ("FP8 Formats for Deep Learning", arXiv 2209.05433; e4m3 for both). Which
linears are worth it, `engines.fp8` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines import fp8

HEADROOM = 8.0
"""How much larger than in calibration an activation may be before it is cut. e4m3 keeps its three bits of mantissa
over fifteen binary orders, so that three of them to spare cost next to nothing."""
_SMALLEST = 1e-6
_FLOAT8E4M3FN = 17  # of onnx.TensorProto.DataType


class QdqLinear(nn.Module):
    """A linear between QuantizeLinear and DequantizeLinear; elsewhere than in an export the same rounding in floats.

    Args:
        linear: replaced by this.
        largest: of all its inputs' magnitudes in calibration.
    """

    weight: Tensor
    weight_scale: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear, largest: float) -> None:
        super().__init__()
        weight = linear.weight.detach()
        # Scales are in the linear's own dtype, as the graph's types ask for.
        rows = (weight.abs().amax(dim=1).float() / fp8.LARGEST).clamp_min(_SMALLEST).to(weight.dtype)
        scale = max(largest * HEADROOM / fp8.LARGEST, _SMALLEST)
        self.register_buffer("weight", fp8.to_e4m3(weight.float() / rows.float()[:, None]))  # [out, in]
        self.register_buffer("weight_scale", rows)  # [out]
        self.register_buffer("scale", torch.tensor(scale, dtype=weight.dtype, device=weight.device))  # []
        self.bias: nn.Parameter | None = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out] of the same dtype."""
        if torch.onnx.is_in_onnx_export():
            rounded = _dequantised(_quantised(x, self.scale), self.scale, x.dtype)
            return F.linear(rounded, _dequantised(self.weight, self.weight_scale, x.dtype, axis=0), self.bias)
        rounded = (fp8.to_e4m3(x.float() / self.scale.float()).float() * self.scale.float()).to(x.dtype)
        weight = (self.weight.float() * self.weight_scale.float()[:, None]).to(x.dtype)
        return F.linear(rounded, weight, self.bias)


def calibrate(module: nn.Module, names: Iterable[str], run: Callable[[], object]) -> dict[str, float]:
    """The largest magnitude that each of these linears is given while `run` runs the module; 0 where it is not run."""
    found = dict.fromkeys(names, 0.0)

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            found[name] = max(found[name], float(given[0].detach().abs().amax()))

        return look

    hooks = [module.get_submodule(name).register_forward_pre_hook(watch(name)) for name in found]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def quantise_within(module: nn.Module, run: Callable[[], Tensor], budget: float) -> tuple[tuple[str, ...], float]:
    """As much of a module as keeps the relative error of `run()` within `budget`, see `fp8.quantise_within`."""
    exact = run()
    largest = calibrate(module, fp8.linears(module), run)

    def make(name: str, linear: nn.Linear) -> QdqLinear:
        return QdqLinear(linear, largest[name])

    errors = fp8.measure(module, run, exact, make)
    return fp8.quantise_within(module, run, budget, exact, errors, make)


def _quantised(x: Tensor, scale: Tensor) -> Tensor:
    return _operator("QuantizeLinear", x, scale, torch.float8_e4m3fn, {"output_dtype": _FLOAT8E4M3FN, "saturate": 1})


def _dequantised(x: Tensor, scale: Tensor, dtype: torch.dtype, axis: int = 1) -> Tensor:
    return _operator("DequantizeLinear", x, scale, dtype, {"axis": axis})


def _operator(name: str, x: Tensor, scale: Tensor, dtype: torch.dtype, attributes: dict[str, Any]) -> Tensor:
    return torch.onnx.ops.symbolic(name, (x, scale), attributes, dtype=dtype, shape=x.shape)
