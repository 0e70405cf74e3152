"""The two parts of a transformer's layer that have plans of their own: before its self-attention, and after it.

Owns their names and which of the layer's weights each is given, in which order. Imports no torch: whoever builds the
plans and whoever runs them agree on names alone.
"""

from __future__ import annotations

from typing import Literal

LayerPart = Literal["layer_before", "layer_after"]

_LINEARS: dict[LayerPart, tuple[str, ...]] = {
    "layer_before": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "layer_after": ("attn1.to_out.0", "attn2.to_q", "attn2.to_out.0", "ffn.net.0.proj", "ffn.net.2"),
}
_OTHERS: dict[LayerPart, tuple[str, ...]] = {
    "layer_before": ("scale_shift_table", "attn1.norm_q.weight", "attn1.norm_k.weight"),
    "layer_after": ("scale_shift_table", "attn2.norm_q.weight", "norm2.weight", "norm2.bias"),
}
LAYER_PARTS: tuple[LayerPart, ...] = tuple(_LINEARS)
WEIGHTS: dict[LayerPart, tuple[str, ...]] = {
    part: (*_OTHERS[part], *(f"{linear}.{kind}" for linear in linears for kind in ("weight", "bias")))
    for part, linears in _LINEARS.items()
}
"""Names of a `WanTransformerBlock`'s parameters; those of its text keys and values are in neither."""
