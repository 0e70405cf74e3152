"""Attention whose two products are computed in FP8 (e4m3): by cuDNN from Hopper on, emulated in float32 elsewhere.

Owns both forms and their scales. Queries and keys are normed, so that they need no scale; what attention gives is an
average of values, so that the largest value bounds it. Exponentials are rounded at 256 times their size. As in
FlashAttention-3 (arXiv 2407.08608), with one scale a tensor. Does not know layers or caches.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engines.fp8 import LARGEST, to_e4m3

_OF_EXPONENTIALS = 256.0
_HEADROOM = 2.0  # earlier latents' values, which are in FP8 already, may be larger than the block's own
CAPABILITY = (9, 0)
"""Compute capability from which on cuDNN has it."""

Attention = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(query, keys_values, value) -> (rows, scale).

query [1, heads, N, d] float; keys_values [2, heads, M, d] e4m3, keys then values, the block's own and earlier ones;
value [1, heads, N, d] float, the block's own. rows [1, N, heads * d] e4m3 and scale, float32 of one element: their
product is what attention gives.
"""


def find() -> Attention | None:
    """cuDNN's, where GPU and package have it; may be compiled."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < CAPABILITY:
        return None
    return as_operator(_by_cudnn) if importlib.util.find_spec("cudnn") is not None else None


@functools.cache
def as_operator(run: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Attention:
    """`run` as one operator that a compiler leaves alone.

    Args:
        run: (query, keys_values, scale) -> rows, as `Attention` has them, query in e4m3.
    """
    schema = "(Tensor query, Tensor keys_values, Tensor scale) -> Tensor"
    operator = torch.library.custom_op(f"engines::fp8_attention{run.__name__}", run, mutates_args=(), schema=schema)
    operator.register_fake(lambda query, keys_values, scale: _rows_like(query))  # noqa: ARG005 - the schema's names

    return _attention(operator)


def emulated(query: Tensor, keys_values: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """`Attention` with the same rounding, in float32."""
    return _attention(emulated_rows)(query, keys_values, value)


def emulated_rows(query: Tensor, keys_values: Tensor, scale: Tensor) -> Tensor:
    """What `as_operator` takes."""
    key, values = keys_values.float().unsqueeze(1).unbind(0)
    logits = query.float() @ key.mT / query.shape[-1] ** 0.5
    exponentials = (logits - logits.amax(-1, keepdim=True)).exp()
    products = to_e4m3(exponentials * _OF_EXPONENTIALS).float() @ values
    out = products / (exponentials.sum(-1, keepdim=True) * _OF_EXPONENTIALS)
    return to_e4m3(out / scale).transpose(1, 2).flatten(2)


def _attention(rows_of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Attention:
    def attention(query: Tensor, keys_values: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        scale = (value.abs().amax().float() * (_HEADROOM / LARGEST)).clamp_min(1e-12).view(1)
        return rows_of(to_e4m3(query), keys_values, scale), scale

    return attention


def _rows_like(query: Tensor) -> Tensor:
    _, heads, tokens, dim = query.shape
    return query.new_empty(1, tokens, heads * dim)


def _by_cudnn(query: Tensor, keys_values: Tensor, scale: Tensor) -> Tensor:
    rows, query, keys_values = _rows_like(query), query.contiguous(), keys_values.contiguous()
    _graph(query.device, tuple(query.shape), keys_values.shape[2])(query, keys_values, scale, rows)
    return rows


@functools.cache
def _graph(device: torch.device, shape: tuple[int, int, int, int], seen: int) -> _Graph:
    return _Graph(device, shape, seen)


class _Graph:
    """cuDNN's plan for one shape of query [1, heads, N, d] and `seen` keys."""

    def __init__(self, device: torch.device, shape: tuple[int, int, int, int], seen: int) -> None:
        self._cudnn: Any = importlib.import_module("cudnn")
        self._lock = threading.Lock()
        _, heads, tokens, dim = shape
        fp8, single = self._cudnn.data_type.FP8_E4M3, self._cudnn.data_type.FLOAT
        self._handle = self._cudnn.create_handle()
        graph = self._cudnn.pygraph(
            io_data_type=fp8, intermediate_data_type=single, compute_data_type=single, handle=self._handle
        )

        def tensor(length: int) -> Any:
            stride = (heads * length * dim, length * dim, dim, 1)
            return graph.tensor(dim=(1, heads, length, dim), stride=stride, data_type=fp8)

        def scalar() -> Any:
            return graph.tensor(dim=(1, 1, 1, 1), stride=(1, 1, 1, 1), data_type=single)

        self._query, self._key, self._value = tensor(tokens), tensor(seen), tensor(seen)
        one = ("descale_q", "descale_k", "descale_v")
        self._scalars = {name: scalar() for name in (*one, "descale_s", "scale_s", "scale_o")}
        self._rows, _, *largest = graph.sdpa_fp8(
            q=self._query, k=self._key, v=self._value, **self._scalars, generate_stats=False, attn_scale=dim**-0.5
        )
        rows_stride = (tokens * heads * dim, dim, heads * dim, 1)
        self._rows.set_output(True).set_dim(shape).set_stride(rows_stride).set_data_type(fp8)
        for tensor_ in largest:
            tensor_.set_output(True).set_dim((1, 1, 1, 1)).set_stride((1, 1, 1, 1)).set_data_type(single)
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([self._cudnn.heur_mode.A, self._cudnn.heur_mode.FALLBACK])
        graph.check_support()
        graph.build_plans()
        self._graph = graph
        self._workspace = torch.empty(graph.get_workspace_size(), dtype=torch.uint8, device=device)
        constants = dict.fromkeys(one, 1.0) | {"descale_s": 1 / _OF_EXPONENTIALS, "scale_s": _OF_EXPONENTIALS}
        self._held: dict[Any, Tensor] = {
            self._scalars[name]: torch.tensor([number], device=device) for name, number in constants.items()
        }
        self._held |= {tensor_: torch.empty(1, device=device) for tensor_ in largest}

    def __call__(self, query: Tensor, keys_values: Tensor, scale: Tensor, rows: Tensor) -> None:
        key, value = keys_values
        given = {self._query: query, self._key: key, self._value: value, self._rows: rows}
        with self._lock:
            self._cudnn.set_stream(handle=self._handle, stream=torch.cuda.current_stream(query.device).cuda_stream)
            self._graph.execute(
                given | self._held | {self._scalars["scale_o"]: scale.reciprocal()},
                self._workspace,
                handle=self._handle,
            )
