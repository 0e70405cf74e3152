"""Each engine as an ONNX graph: text encoder, text keys and values, transformer step, VAE first and next step.

Of a large transformer the graphs are what one layer does before and after its self-attention, its weights among the
inputs: all layers share them, and self-attention stays with PyTorch, which has a faster one where TensorRT has none for
the GPU.

Owns which module is exported, its inputs' names, its open dimensions and its precision. Reads one component of the
checkpoint at a time and changes it in place, so that the weights are in memory once. Does not know what will run the
graph. Float inputs and outputs are float32, except for what an engine only hands back to itself: keys and values and
the VAE's caches, which have the graph's own precision, as has all of a layer's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanTransformerBlock
from torch import Tensor, nn
from torch.export import Dim
from torch.func import functional_call
from transformers import UMT5EncoderModel

from engines import qdq
from engines.json_file import read_json
from engines.layer_parts import LAYER_PARTS, WEIGHTS, LayerPart
from engines.transformer_step import (
    TextKeysValues,
    TimeEmbedding,
    TransformerStep,
    after_attention,
    before_attention,
    random_inputs,
    rotary_tables,
    with_text,
)
from engines.vae_step import CacheShapes, FramesStep, VaeStep

Precision = Literal["fp32", "fp16", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
GRAPHS = ("text_encoder", "text_keys_values", "transformer", "vae_first", "vae_next")

# Opset 23 has Attention and RMSNormalization, which runtimes fuse; the other graphs' attention is small, has shapes
# that fused kernels refuse (one head of all channels, a bias), and is written out by the older opset.
_FUSED_OPSET, _PLAIN_OPSET = 23, 20
INLINE_BYTES = 1 << 30  # weights beyond this lie in a file beside the graph: protobuf ends at 2 GB
_FLOAT32_PARAMETERS = ("scale_shift_table", "norm2")
_PRODUCTS = ("patch_embedding", "proj_out")
_NARROW = (
    1024  # channels up to which more digits cost nothing; on an H200 a wide model's products went wrong in float32
)


@dataclass(frozen=True, slots=True)
class Graph:
    """What is exported: a module with example inputs.

    Attributes:
        open_dims: for each input the open dimensions by index; () means a fixed shape.
        starred: inputs from this one on are one starred argument of the module; None: there is none.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    open_dims: tuple[dict[int, Any], ...]
    opset: int
    starred: int | None = None


class _TextEncoder(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden.float() * attention_mask.unsqueeze(-1)


class _TextKeysValues(nn.Module):
    def __init__(self, inner: TextKeysValues, dtype: torch.dtype, own: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype, self.own = inner.to(dtype), dtype, own

    def forward(self, prompt_embeds: Tensor) -> Tensor:
        return self.inner(prompt_embeds.to(self.dtype)).to(self.own)


class _Transformer(nn.Module):
    """The step with its time embedding; rotary tables come as a grid, whose sides follow from the latents'.

    Of a narrow model first and last product and what goes from layer to layer are float32, whatever `dtype` is.

    Args:
        gives_context: whether keys and values are an output, for the blocks behind, and an input from those before.
            Where they are not, attention is over the latents alone: joined with nothing, it would not be fused.
    """

    def __init__(self, transformer: WanTransformer3DModel, dtype: torch.dtype, *, gives_context: bool) -> None:
        super().__init__()
        self.dtype, self.gives_context = dtype, gives_context
        self.time = TimeEmbedding(transformer).float()
        is_narrow = transformer.config["num_attention_heads"] * transformer.config["attention_head_dim"] <= _NARROW
        self.step = TransformerStep(transformer, owned=True, stream=torch.float32 if is_narrow else None)
        kept = (*_FLOAT32_PARAMETERS, *(_PRODUCTS if is_narrow else ()))
        for name, parameter in self.step.named_parameters():
            keep = any(part in kept for part in name.split("."))
            parameter.data = parameter.data.to(torch.float32 if keep else dtype)

    def forward(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, cos: Tensor, sin: Tensor, cache: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """As `TransformerStep.forward`, but timesteps [F] and cos, sin [F, h/2, w/2, head_dim / 2]."""
        tables = cos.flatten(0, 2), sin.flatten(0, 2)
        given = (latents, self.time(timesteps), text, *tables)
        if cache is None:
            return (self.step.velocity(*given).float(),)
        velocity, own = self.step(*given, cache)
        return velocity.float(), own


class _LayerPart(nn.Module):
    """A part of one layer, with the layer's weights of these names as the last inputs."""

    def __init__(self, part: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self._part, self._names = [part], names  # in a list: its weights are no weights of this module

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        count = len(given) - len(self._names)
        weights = {f"layer.{name}": weight for name, weight in zip(self._names, given[count:], strict=True)}
        return functional_call(self._part[0], weights, given[:count])


class _Before(nn.Module):
    def __init__(self, layer: WanTransformerBlock) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, modulation: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        """cos, sin [F, n, head_dim / 2]; the rest as `before_attention` has it."""
        return before_attention(self.layer, x, modulation, cos.flatten(0, 1), sin.flatten(0, 1), x.dtype)


class _After(nn.Module):
    def __init__(self, layer: WanTransformerBlock) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, rows: Tensor, modulation: Tensor, text: Tensor) -> tuple[Tensor, ...]:
        """rows [F, n, D]: what self-attention gives before its last product."""
        return (after_attention(self.layer, x, self.layer.attn1.to_out[0](rows), modulation, text),)


class _VaeStep(nn.Module):
    def __init__(self, step: VaeStep, dtype: torch.dtype) -> None:
        super().__init__()
        self.frames, self.dtype = FramesStep(step, bytes_last=True).to(dtype), dtype

    def forward(self, latents: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        return self.frames(latents.to(self.dtype), *caches)


def graph(
    checkpoint: Path,
    name: str,
    *,
    tokens: int,
    precision: Precision,
    text_precision: Precision,
    vae_precision: Precision | None = None,
    fp8_error: float | None = None,
    gives_context: bool = True,
    fused_attention: bool = True,
) -> Graph:
    """One of `GRAPHS`, with weights, or of `LAYER_PARTS`, with weights as inputs.

    Args:
        checkpoint: folder in diffusers layout.
        tokens: of a prompt.
        precision: of the transformer, and of the VAE where `vae_precision` is None.
        text_precision: of the text encoder and the text keys and values.
        fp8_error: largest relative error of the velocity, on random inputs, that linears in FP8 may make; None: none.
        gives_context: whether keys and values are an output of the transformer, gigabytes of a large model, and an
            input; not needed where no block attends to another's.
        fused_attention: write the transformer's attention and norms as operators of their own, which older runtimes
            do not read, instead of as products and sums.
    """
    opset = _FUSED_OPSET if fused_attention else _PLAIN_OPSET
    dtype, text_dtype = DTYPES[precision], DTYPES[text_precision]
    if name == "text_encoder":
        ids = torch.ones(1, tokens, dtype=torch.int64)
        module = _TextEncoder(_read(UMT5EncoderModel, checkpoint / "text_encoder", dtype=text_dtype))
        inputs = {"input_ids": ids, "attention_mask": ids.clone()}
        return Graph(module, inputs, ("prompt_embeds",), ({}, {}), _PLAIN_OPSET)
    if name == "text_keys_values":
        transformer = _read(WanTransformer3DModel, checkpoint / "transformer", torch_dtype=text_dtype)
        module = _TextKeysValues(TextKeysValues(transformer), text_dtype, dtype)
        embeds = torch.zeros(1, tokens, transformer.config["text_dim"])
        return Graph(module, {"prompt_embeds": embeds}, ("text",), ({},), opset)
    if name in LAYER_PARTS:
        return _layer_graph(checkpoint, name, tokens, dtype, opset)
    if name == "transformer":
        transformer = _read(WanTransformer3DModel, checkpoint / "transformer", torch_dtype=dtype)
        module = _Transformer(transformer, dtype, gives_context=gives_context)
        if fp8_error is not None:
            with torch.inference_mode():
                sample = with_text(module.step, random_inputs(module.step))
                qdq.quantise_within(module.step.blocks, lambda: module.step.velocity(*sample), fp8_error)
        return _transformer_graph(module, transformer, tokens, opset)
    return _vae_graph(checkpoint, name == "vae_first", DTYPES[vae_precision or precision])


def _read(kind: Any, folder: Path, **dtype: torch.dtype) -> Any:
    return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, **dtype).eval()


def _transformer_graph(module: _Transformer, transformer: WanTransformer3DModel, tokens: int, opset: int) -> Graph:
    config = transformer.config
    layers, heads, dim = (config[k] for k in ("num_layers", "num_attention_heads", "attention_head_dim"))
    _, p_h, p_w = config["patch_size"]
    frames, rows, columns, context = 3, 4, 5, 24  # any but 0 and 1, which tracing takes for constants, and all unequal
    cos, sin = rotary_tables(transformer, 0, frames, rows * p_h, columns * p_w)
    grid = (frames, rows, columns, -1)
    inputs = {
        "latents": torch.zeros(1, config["in_channels"], frames, rows * p_h, columns * p_w),
        "timesteps": torch.zeros(frames),
        "text": torch.zeros(layers, 2, heads, tokens, dim, dtype=module.dtype),
        "cos": cos.view(grid),
        "sin": sin.view(grid),
    }
    f, r, c = Dim("frames", min=1, max=4096), Dim("rows", min=1, max=4096), Dim("columns", min=1, max=4096)
    table = {0: f, 1: r, 2: c}
    dims = ({2: f, 3: p_h * r, 4: p_w * c}, {0: f}, {}, table, table)
    if not module.gives_context:
        return Graph(module, inputs, ("velocity",), dims, opset)
    inputs["cache"] = torch.zeros(layers, 2, heads, context, dim, dtype=module.dtype)
    dims = (*dims, {3: Dim("context", min=0, max=1 << 24)})
    return Graph(module, inputs, ("velocity", "keys_values"), dims, opset)


def _layer_graph(checkpoint: Path, part: LayerPart, tokens: int, dtype: torch.dtype, opset: int) -> Graph:
    config = read_json(checkpoint / "transformer" / "config.json")
    transformer = cast(WanTransformer3DModel, WanTransformer3DModel.from_config(config | {"num_layers": 1}))
    layer = cast(WanTransformerBlock, transformer.blocks[0]).to(dtype)
    heads, dim = config["num_attention_heads"], config["attention_head_dim"]
    f, n = Dim("frames", min=1, max=4096), Dim("tokens", min=1, max=1 << 20)
    frames, tokens_each = 3, 20  # any but 0 and 1, and unequal
    x = torch.zeros(frames, tokens_each, heads * dim, dtype=dtype)
    modulation = torch.zeros(frames, 6, 1, heads * dim)
    by_frame, by_token = {0: f}, {0: f, 1: n}
    if part == "layer_before":
        module, outputs = _Before(layer), ("query", "keys_values")
        angles = torch.zeros(frames, tokens_each, dim // 2, dtype=dtype)
        inputs = {"x": x, "modulation": modulation, "cos": angles, "sin": angles.clone()}
        dims = (by_token, by_frame, by_token, by_token)
    else:
        module, outputs = _After(layer), ("y",)
        text = torch.zeros(2, heads, tokens, dim, dtype=dtype)
        inputs = {"x": x, "rows": x.clone(), "modulation": modulation, "text": text}
        dims = (by_token, by_token, by_frame, {})
    weights = {name: layer.get_parameter(name).detach() for name in WEIGHTS[part]}
    dims = (*dims, *({} for _ in weights))
    return Graph(_LayerPart(module, WEIGHTS[part]), inputs | weights, outputs, dims, opset, starred=0)


def _vae_graph(checkpoint: Path, first: bool, dtype: torch.dtype) -> Graph:
    vae: AutoencoderKLWan = _read(AutoencoderKLWan, checkpoint / "vae", torch_dtype=torch.float32)
    height, width = 4, 6
    shapes = CacheShapes(vae)(height, width)
    inputs = {"latents": torch.zeros(1, vae.config["z_dim"], 1, height, width)}
    inputs |= {f"cache_{i}": torch.zeros(shape, dtype=dtype) for i, shape in enumerate(shapes)}
    h, w = Dim("rows", min=2, max=4096), Dim("columns", min=2, max=4096)
    dims = tuple({3: x.shape[3] // height * h, 4: x.shape[4] // width * w} for x in inputs.values())
    outputs = ("pixels", *(f"new_cache_{i}" for i in range(len(shapes))))
    return Graph(_VaeStep(VaeStep(vae, first=first), dtype), inputs, outputs, dims, _PLAIN_OPSET, starred=1)


def write(graph: Graph, path: Path) -> None:
    """Write the graph as ONNX, large weights in a file beside it.

    Raises:
        OSError: it cannot be written.
    """
    weights = sum(p.numel() * p.element_size() for p in graph.module.parameters())
    dims: Any = graph.open_dims
    if graph.starred is not None:
        dims = (*dims[: graph.starred], dims[graph.starred :])
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about itself; the graph is checked against the module
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=dims if any(graph.open_dims) else None,
            opset_version=graph.opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(path, external_data=weights > INLINE_BYTES)
