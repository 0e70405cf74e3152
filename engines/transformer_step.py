"""WAN's transformer as a stateless step: one block and cached keys and values in; velocity and new ones out.

Owns the restructuring of diffusers' `WanTransformer3DModel` (arXiv 2503.20314) for block-causal inference and
export: rotary embedding by halves on permuted q/k rows (no strided writes), per-latent instead of per-token modulation,
text keys and values computed once a prompt, keys and values of earlier latents as inputs. Uses its own weights.
Does not know blocks, windows or schedules: what the caller gives as cache is what is attended to.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformer3DModel, WanTransformerBlock
from torch import Tensor, nn

from engines import fp8
from engines.fp8_attention import Attention

CompileOptions = dict[str, "str | int | bool | Callable[..., Any]"]  # as torch.compile has it

RunLayer = Callable[
    [WanTransformerBlock, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None],
    tuple[Tensor, Tensor],
]
"""(block, x, modulation, text, cos, sin, cache) -> (x, keys_values): one layer.

x [F, n, D], n tokens of each latent; modulation [F, 6, 1, D]; text [2, heads, S, head_dim]; cos, sin and a layer of
`cache` as `TransformerStep.forward` has them. keys_values [2, heads, N, head_dim] are the block's own.
"""


class TextKeysValues(nn.Module):
    """prompt_embeds -> the cross-attention keys and values of every layer."""

    def __init__(self, transformer: WanTransformer3DModel) -> None:
        super().__init__()
        self.text_embedder = transformer.condition_embedder.text_embedder
        self.attentions = cross_attentions(transformer.blocks)

    def forward(self, prompt_embeds: Tensor) -> Tensor:
        """prompt_embeds [1, S, text_dim] float -> [layers, 2, heads, S, head_dim]; 2 is keys, values."""
        return keys_values_of(self.text_embedder(prompt_embeds), self.attentions)


def cross_attentions(blocks: nn.ModuleList) -> nn.ModuleList:
    """Of every layer, shared with it."""
    return nn.ModuleList(cast(WanTransformerBlock, block).attn2 for block in blocks)


def keys_values_of(text: Tensor, attentions: nn.ModuleList) -> Tensor:
    """Embedded text [1, S, D] -> what `TextKeysValues` gives."""
    layers = []
    for module in attentions:
        attn = cast(WanAttention, module)
        key = _heads(attn.norm_k(attn.to_k(text)), attn.heads)
        layers.append(torch.cat([key, _heads(attn.to_v(text), attn.heads)]))
    return torch.stack(layers)


class TimeEmbedding(nn.Module):
    """timesteps -> time embedding and modulation of each latent. Always float32: sines of 0 … 1000 need the digits."""

    def __init__(self, transformer: WanTransformer3DModel) -> None:
        super().__init__()
        self.embedder = transformer.condition_embedder

    def forward(self, timesteps: Tensor) -> Tensor:
        """timesteps [F] float in [0, 1000] -> [F, 7, 1, D]: six rows of modulation, then the embedding itself."""
        temb = self.embedder.time_embedder(self.embedder.timesteps_proj(timesteps))
        modulation = self.embedder.time_proj(self.embedder.act_fn(temb)).unflatten(1, (6, 1, -1))
        return torch.cat([modulation, temb[:, None, None]], dim=1)


class TransformerStep(nn.Module):
    """One forward of the transformer over the latents of one block.

    Args:
        transformer: the checkpoint's module; copied once, so that its q/k rows can be permuted.
        owned: no copy: the module is the caller's to give away and of no other use afterwards. Large checkpoints.
        stream: dtype of what goes from layer to layer and is added to; None: the layers' own.
    """

    def __init__(
        self, transformer: WanTransformer3DModel, *, owned: bool = False, stream: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self._stream = stream
        transformer = transformer if owned else copy.deepcopy(transformer)
        self.patch_size = tuple(transformer.config["patch_size"])
        self.patch_embedding = transformer.patch_embedding
        self.blocks = transformer.blocks
        self.norm_out = transformer.norm_out
        self.proj_out = transformer.proj_out
        self.scale_shift_table = transformer.scale_shift_table
        for block in self.blocks:
            _halve_rotary(cast(WanTransformerBlock, block).attn1)
        self.cache_layout: tuple[int, int, int] = (
            transformer.config["num_layers"],
            transformer.config["num_attention_heads"],
            transformer.config["attention_head_dim"],
        )
        self.fp8_attention: Attention | None = None
        self._run_layer: RunLayer = self._layer

    def forward(
        self, latents: Tensor, time: Tensor, text: Tensor, cos: Tensor, sin: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step.

        Args:
            latents: [1, C, F, h, w], normalised.
            time: [F, 7, 1, D], one a latent, from `TimeEmbedding`; modulation is computed in its dtype, which diffusers
                keeps float32, everything else in the weights' dtype.
            text: [layers, 2, heads, S, head_dim], from `TextKeysValues`.
            cos, sin: [N, head_dim / 2] for the block's N = F * h/2 * w/2 tokens, from `rotary_tables`.
            cache: [layers, 2, heads, M, head_dim], keys (rotated) and values of earlier tokens; M may be 0.

        Returns:
            velocity [1, C, F, h, w] and this block's own keys and values [layers, 2, heads, N, head_dim], e4m3 where
            `fp8_attention` is set.
        """
        own: list[Tensor] = []
        velocity = self.velocity(latents, time, text, cos, sin, cache, keep=own.append)
        return velocity, torch.stack(own)

    def velocity(
        self,
        latents: Tensor,
        time: Tensor,
        text: Tensor,
        cos: Tensor,
        sin: Tensor,
        cache: Tensor | None = None,
        *,
        keep: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """As `forward`; each layer's own keys and values are given to `keep`, or forgotten at once.

        Args:
            cache: None where there are no earlier tokens.
        """
        _, _, num_frames, height, width = latents.shape
        _, p_h, p_w = self.patch_size
        grid = (num_frames, height // p_h, width // p_w)
        # First and last product have a dtype of their own, which may be wider than the layers'.
        latents = latents.to(self.patch_embedding.weight.dtype)
        x = _patch_embed(self.patch_embedding, latents, p_h, p_w).to(self._stream or text.dtype)  # [F, n, D]
        modulation, temb = time[:, :6], time[:, 6:]
        for i, module in enumerate(self.blocks):
            block = cast(WanTransformerBlock, module)
            x, keys_values = self._run_layer(
                block, x, modulation, text[i], cos, sin, None if cache is None else cache[i]
            )
            if keep is not None:
                keep(keys_values)
        shift, scale = (self.scale_shift_table.unsqueeze(2) + temb).unbind(1)
        x = self.proj_out(_modulate(x.to(self.proj_out.bias.dtype), scale, shift))
        return _unpatchify(x, grid, p_h, p_w)

    def compile_layers(self, options: CompileOptions) -> None:
        """Compile what one layer does; the layers' weights are its inputs, so that all of them share one graph."""
        self._run_layer = torch.compile(self._layer, fullgraph=True, dynamic=False, options=options)

    def run_layers_by(self, run: RunLayer) -> None:
        """Let `run` do what one layer does."""
        self._run_layer = run

    def _layer(
        self,
        block: WanTransformerBlock,
        x: Tensor,
        modulation: Tensor,
        text: Tensor,
        cos: Tensor,
        sin: Tensor,
        cache: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """`RunLayer`."""
        query, own = before_attention(block, x, modulation, cos, sin, text.dtype)
        value, project = own[1:], block.attn1.to_out[0]
        if self.fp8_attention is None:
            out = project(attend(query, joined(cache, own)))
        else:
            own = fp8.to_cache(own)
            rows, scale = self.fp8_attention(query, joined(cache, own), value)
            out = _project_fp8(project, rows[0], scale, text.dtype)
        return after_attention(block, x, out.view(x.shape), modulation, text), own


def before_attention(
    block: WanTransformerBlock, x: Tensor, modulation: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """What a layer does up to its self-attention, in `dtype`.

    Returns:
        query [1, heads, N, head_dim]; own keys and values [2, heads, N, head_dim].
    """
    attn = block.attn1
    shift, scale = _modulations(block, modulation)[:2]
    x = _modulate(x, scale, shift).to(dtype).reshape(1, -1, x.shape[-1])
    query = _rotate(_heads(attn.norm_q(attn.to_q(x)), attn.heads), cos, sin)
    key = _rotate(_heads(attn.norm_k(attn.to_k(x)), attn.heads), cos, sin)
    return query, torch.cat([key, _heads(attn.to_v(x), attn.heads)])


def joined(cache: Tensor | None, own: Tensor) -> Tensor:
    """Keys and values of earlier tokens, if there are any, and own ones behind them."""
    # Cast layer by layer: all of it at once would take what FP8 saves.
    return own if cache is None else torch.cat([cache.to(own.dtype), own], dim=2)


def attend(query: Tensor, keys_values: Tensor) -> Tensor:
    """query [1, heads, N, head_dim], keys_values [2, heads, M, head_dim] -> rows [1, N, heads * head_dim]."""
    return _merge(F.scaled_dot_product_attention(query, keys_values[:1], keys_values[1:]))


def after_attention(block: WanTransformerBlock, x: Tensor, out: Tensor, modulation: Tensor, text: Tensor) -> Tensor:
    """What a layer does with `out` [F, n, D], which its self-attention gives."""
    gate, ff_shift, ff_scale, ff_gate = _modulations(block, modulation)[2:]
    dtype = text.dtype
    x = (x + out * gate).to(x.dtype)
    x = x + _cross_attention(block.attn2, block.norm2(x).to(dtype), text)
    out = block.ffn(_modulate(x, ff_scale, ff_shift).to(dtype))
    return (x + out * ff_gate).to(x.dtype)


def _modulations(block: WanTransformerBlock, modulation: Tensor) -> tuple[Tensor, ...]:
    """Shift, scale and gate of self-attention, then of the feed-forward layers, each [F, 1, D]."""
    return (block.scale_shift_table.unsqueeze(2) + modulation).unbind(1)


def _cross_attention(attn: WanAttention, x: Tensor, text: Tensor) -> Tensor:
    query = _heads(attn.norm_q(attn.to_q(x.reshape(1, -1, x.shape[-1]))), attn.heads)
    return attn.to_out[0](attend(query, text)).view(x.shape)


def random_inputs(step: TransformerStep) -> tuple[Tensor, ...]:
    """Of a small clip, from a fixed seed, for what has to be measured once.

    Returns:
        latents, time, embedded text [1, S, D] for `with_text`, cos, sin and an empty cache.
    """
    weight = cast(WanTransformerBlock, step.blocks[0]).attn1.norm_q.weight  # never in FP8
    generator = torch.Generator("cpu").manual_seed(0)
    layers, heads, head_dim = step.cache_layout
    dim = heads * head_dim
    channels = step.patch_embedding.in_channels
    tokens = 2 * 8 * 8

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(weight)

    angles = torch.rand(tokens, head_dim // 2, generator=generator).to(weight) * torch.pi
    return (
        normal(1, channels, 2, 16, 16),
        normal(2, 7, 1, dim).float(),
        normal(1, 64, dim),
        angles.cos(),
        angles.sin(),
        normal(layers, 2, heads, 0, head_dim),
    )


def with_text(step: TransformerStep, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """`random_inputs` with the text's keys and values in place of the embedded text: what a step is called with."""
    latents, time, text, *rest = inputs
    return latents, time, keys_values_of(text, cross_attentions(step.blocks)), *rest


def rotary_tables(
    transformer: WanTransformer3DModel, first_latent: int, num_latents: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """cos and sin, float32 [N, head_dim / 2], of the tokens of `num_latents` latents of `height` x `width`.

    Positions are absolute: the latent's index in the clip (`first_latent` …), the row and the column of the patch.
    """
    rope = transformer.rope
    _, p_h, p_w = transformer.config["patch_size"]
    rows, columns = height // p_h, width // p_w
    sizes = [rope.t_dim, rope.h_dim, rope.w_dim]

    def table(freqs: Tensor) -> Tensor:
        t, h, w = (part[:, ::2] for part in freqs.split(sizes, dim=1))  # diffusers repeats each angle twice
        t = t[first_latent : first_latent + num_latents].view(num_latents, 1, 1, -1)
        parts = (t, h[:rows].view(1, rows, 1, -1), w[:columns].view(1, 1, columns, -1))
        parts = (part.expand(num_latents, rows, columns, -1) for part in parts)
        return torch.cat(list(parts), dim=-1).reshape(num_latents * rows * columns, -1).float()

    return table(cast(Tensor, rope.freqs_cos)), table(cast(Tensor, rope.freqs_sin))


def _halve_rotary(attn: WanAttention) -> None:
    """Permute q/k rows so that the pairs (0,1), (2,3), … of each head become (0,d/2), (1,d/2+1), …

    Attention is a dot product over the head's channels, so permuting q and k alike changes nothing; rotating halves
    needs no strided write, which exports as four ScatterND a block.
    """
    dim = attn.inner_dim
    order = torch.arange(dim).view(attn.heads, -1, 2).transpose(1, 2).reshape(dim)
    for linear, norm in ((attn.to_q, attn.norm_q), (attn.to_k, attn.norm_k)):
        linear.weight.data = linear.weight.data[order].contiguous()
        linear.bias.data = linear.bias.data[order].contiguous()
        norm.weight.data = norm.weight.data[order].contiguous()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [1, heads, N, d] with cos, sin [N, d/2]; computed in the wider dtype of the two."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def _project_fp8(linear: nn.Module, rows: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """A linear of rows [n, in] e4m3 with one scale."""
    if isinstance(linear, fp8.Fp8Linear):
        return linear.product(rows, scale.repeat(rows.shape[0]).unsqueeze(1), dtype)
    return linear((rows.float() * scale).to(dtype))


def _merge(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Layer norm without weights, then scale and shift in their dtype."""
    normed = F.layer_norm(x.to(scale.dtype), x.shape[-1:], eps=1e-6)
    return (normed * (1 + scale) + shift).to(x.dtype)


def _patch_embed(conv: nn.Conv3d, latents: Tensor, p_h: int, p_w: int) -> Tensor:
    """The patch embedding as a matrix product: latents [1, C, F, h, w] -> tokens [F, n, D]."""
    _, channels, frames, height, width = latents.shape
    x = latents.view(channels, frames, height // p_h, p_h, width // p_w, p_w)
    x = x.permute(1, 2, 4, 0, 3, 5).reshape(frames, -1, channels * p_h * p_w)
    return F.linear(x, conv.weight.flatten(1), conv.bias)


def _unpatchify(x: Tensor, grid: tuple[int, int, int], p_h: int, p_w: int) -> Tensor:
    """tokens [F, n, p_h * p_w * C] -> [1, C, F, h, w]."""
    frames, rows, columns = grid
    x = x.view(frames, rows, columns, p_h, p_w, -1).permute(5, 0, 1, 3, 2, 4)
    return x.reshape(1, -1, frames, rows * p_h, columns * p_w)
