"""Two forward passes over a `WanTransformer3DModel`'s own weights: with cached context, and teacher-forced by blocks.

Owns the attention pattern of block-causal training and the per-latent modulation. Does not know noise schedules.

A clip is latent 0 (the sink), then blocks of three latents. A block attends to itself in both directions, to the sink
and to the block before it. The context is clean, at timestep 0, and its keys and values come from the same pattern.
Every block behind the first two has the same shape (3 latents that look at 7): a batch of dense attentions, no mask.

Unlike the class's own forward pass, modulation is computed once a latent, not once a token, and positions are given. A
layer is three pieces with an attention between each two: the pieces can be compiled, the attentions are left alone. The
pieces see latents in one row, whichever clip they belong to, so that a compiler makes one graph for all lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformerBlock
from torch import Tensor, nn

from training.config import BLOCK_LATENTS

KeysValues = tuple[Tensor, Tensor]
"""One layer's keys (after RoPE) and values, each [B, latents, tokens, heads, head_dim]."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The parts of a layer before, between and after its two attentions; plain or compiled."""

    before: Callable[..., tuple[Tensor, Tensor, Tensor]]
    between: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]
    after: Callable[..., Tensor]

    @classmethod
    def plain(cls) -> Pieces:
        """Uncompiled."""
        return cls(_before, _between, _after)

    @classmethod
    def compiled(cls, *, dynamic: bool) -> Pieces:
        """Compiled by torch; `dynamic` shares the kernels between sizes."""
        return cls(*(torch.compile(piece, dynamic=dynamic) for piece in (_before, _between, _after)))

    @classmethod
    def of(cls, choice: str) -> Pieces:
        """As a stage's `--compile` says: "no", "static" or "dynamic"."""
        return cls.plain() if choice == "no" else cls.compiled(dynamic=choice == "dynamic")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Patched latents and all that every layer needs with them; L = B * latents."""

    hidden: Tensor  # [L, tokens, D]
    text: Tensor  # [B, T, D]
    modulation: Tensor  # [L, 6, D] fp32
    time: Tensor  # [B, latents, D]
    cos: Tensor  # [L, tokens, 1, head_dim / 2]
    sin: Tensor

    def by_clip(self, x: Tensor) -> Tensor:
        """[L, ...] -> [B, latents, ...]."""
        return x.unflatten(0, self.time.shape[:2])


def cached_forward(
    model: WanTransformer3DModel,
    latents: Tensor,
    timesteps: Tensor,
    prompt_embeds: Tensor,
    positions: Tensor,
    context: Sequence[KeysValues] | None = None,
    *,
    pieces: Pieces | None = None,
    layers: list[Tensor] | None = None,
) -> tuple[Tensor, list[KeysValues]]:
    """Latents that attend to each other in both directions and to cached context.

    Without context this is the class's own forward pass with a timestep a latent.

    Args:
        latents: [B, C, F, h, w], normalised.
        timesteps: [B, F], 0 to 1000.
        prompt_embeds: [B, T, text_dim], zero behind the last token.
        positions: [B, F] or [1, F] integers, index of each latent in its clip.
        context: per layer the keys and values to look at besides the latents' own.
        pieces: plain where not given.
        layers: takes what every layer gives, [B * F, tokens, D], where given.

    Returns:
        Velocity [B, C, F, h, w] and per layer the latents' own keys and values.
    """
    tokens = _embed(model, latents, timesteps, prompt_embeds, positions)
    hidden = tokens.hidden
    own: list[KeysValues] = []

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen = context[len(own)] if context is not None else None
        own.append((key, value))
        if seen is not None:
            key, value = torch.cat([seen[0], key], 1), torch.cat([seen[1], value], 1)
        return _dense(query, key, value)

    for block in model.blocks:
        hidden = _layer(block, hidden, tokens, attend, pieces or Pieces.plain())
        if layers is not None:
            layers.append(hidden)
    return _project(model, tokens.by_clip(hidden), tokens.time, latents), own


def separate_forward(
    model: WanTransformer3DModel,
    latents: Tensor,
    timesteps: Tensor,
    prompt_embeds: Tensor,
    *,
    pieces: Pieces | None = None,
) -> Tensor:
    """Pictures that share a prompt: each latent is a first latent of its own and sees no other.

    The prompt's keys and values, which cost more than a small picture's own tokens, are made once for all of them.

    Args:
        latents: [B, C, K, h, w], normalised.
        timesteps: [B, K], 0 to 1000.
        prompt_embeds: [B, T, text_dim].
        pieces: plain where not given.

    Returns:
        Velocity [B, C, K, h, w].
    """
    positions = torch.zeros(1, latents.shape[2], dtype=torch.long, device=latents.device)
    tokens = _embed(model, latents, timesteps, prompt_embeds, positions)
    hidden = tokens.hidden

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        alone = (x.flatten(0, 1).unsqueeze(1) for x in (query, key, value))
        return _dense(*alone).view_as(query)

    for block in model.blocks:
        hidden = _layer(block, hidden, tokens, attend, pieces or Pieces.plain())
    return _project(model, tokens.by_clip(hidden), tokens.time, latents)


def teacher_forced_forward(
    model: WanTransformer3DModel,
    clean: Tensor,
    noisy: Tensor,
    timesteps: Tensor,
    prompt_embeds: Tensor,
    positions: Tensor,
    *,
    pieces: Pieces | None = None,
) -> Tensor:
    """All blocks of a clip at once, each noisy block with the clean latents before it as context.

    Args:
        clean, noisy: [B, C, 1 + 3m, h, w], m >= 2, normalised: the same clip as context and as input.
        timesteps: [B, 1 + 3m] of the noisy copy, constant inside a block.
        prompt_embeds: [B, T, text_dim].
        positions: [B, 1 + 3m] integers; later blocks may lie far from latent 0.
        pieces: plain where not given.

    Returns:
        Velocity of the noisy copy, [B, C, 1 + 3m, h, w].
    """
    both = torch.cat([clean, noisy], 2)
    times = torch.cat([torch.zeros_like(timesteps), timesteps], 1)
    tokens = _embed(model, both, times, prompt_embeds, positions.repeat(1, 2))
    hidden = tokens.hidden
    for block in model.blocks:
        hidden = _layer(block, hidden, tokens, _attend_by_blocks, pieces or Pieces.plain())
    half = clean.shape[2]
    return _project(model, tokens.by_clip(hidden)[:, half:], tokens.time[:, half:], noisy)


def _attend_by_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    batch, length = query.shape[0], query.shape[1] // 2
    first, second = 1, 1 + BLOCK_LATENTS
    blocks = (length - second) // BLOCK_LATENTS

    def halves(x: Tensor, start: int, stop: int) -> Tensor:
        """The same latents of the clean and the noisy copy: [2, B, stop - start, ...]."""
        return torch.stack([x[:, start:stop], x[:, length + start : length + stop]])

    def sink(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return _dense(*(halves(x, 0, first).flatten(0, 1) for x in (q, k, v))).unflatten(0, (2, batch))

    def after_sink(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen = [
            torch.cat([x[:, :first].expand(2, *x[:, :first].shape), halves(x, first, second)], 2).flatten(0, 1)
            for x in (k, v)
        ]
        return _dense(halves(q, first, second).flatten(0, 1), *seen).unflatten(0, (2, batch))

    def later(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        split = (blocks, BLOCK_LATENTS)
        seen: list[Tensor] = []
        for x in (k, v):
            far = x[:, None, :first].expand(-1, blocks, -1, -1, -1, -1)
            near = x[:, first : length - BLOCK_LATENTS].unflatten(1, split)
            before = torch.cat([far, near], 2)
            own = halves(x, second, length).unflatten(2, split)
            seen.append(torch.cat([before.expand(2, *before.shape), own], 3).flatten(0, 2))
        out = _dense(halves(q, second, length).unflatten(2, split).flatten(0, 2), *seen)
        return out.unflatten(0, (2, batch, blocks)).flatten(2, 3)

    parts = torch.cat([f(query, key, value) for f in (sink, after_sink, later)], 2)
    return torch.cat([parts[0], parts[1]], 1)


def _layer(
    block: WanTransformerBlock,
    hidden: Tensor,
    tokens: Tokens,
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    pieces: Pieces,
) -> Tensor:
    made = pieces.before(block, hidden, tokens.modulation, tokens.cos, tokens.sin)
    out = _own(attend(*(tokens.by_clip(x) for x in made)).reshape(hidden.shape))
    hidden, query, key, value = pieces.between(block, hidden, out, tokens.text, tokens.modulation)
    query = tokens.by_clip(query).flatten(1, 2)
    out = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return pieces.after(block, hidden, _own(out.transpose(1, 2).reshape(hidden.shape)), tokens.modulation)


def _own(x: Tensor) -> Tensor:
    """A tensor of its own: views of different ones would each get a graph of their own from the compiler."""
    return x.clone(memory_format=torch.contiguous_format)


def _before(
    block: WanTransformerBlock, hidden: Tensor, modulation: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    shift, scale, _ = _modulation(block, modulation)[:3]
    x = (block.norm1(hidden.float()) * (1 + scale) + shift).to(hidden.dtype)
    query, key, value = _heads(block.attn1, x, x)
    return _rotate(query, cos, sin), _rotate(key, cos, sin), value


def _between(
    block: WanTransformerBlock, hidden: Tensor, attended: Tensor, text: Tensor, modulation: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    gate = _modulation(block, modulation)[2]
    hidden = (hidden.float() + block.attn1.to_out[0](attended) * gate).to(hidden.dtype)
    x = block.norm2(hidden.float()).to(hidden.dtype)
    return hidden, *_heads(block.attn2, x, text)


def _after(block: WanTransformerBlock, hidden: Tensor, attended: Tensor, modulation: Tensor) -> Tensor:
    shift, scale, gate = _modulation(block, modulation)[3:]
    hidden = hidden + block.attn2.to_out[0](attended)
    x = (block.norm3(hidden.float()) * (1 + scale) + shift).to(hidden.dtype)
    return (hidden.float() + block.ffn(x).float() * gate).to(hidden.dtype)


def _modulation(block: WanTransformerBlock, modulation: Tensor) -> tuple[Tensor, ...]:
    """Six tensors [L, 1, D]: shift, scale and gate of self-attention, then of the feed-forward part."""
    return (block.scale_shift_table + modulation).unsqueeze(2).unbind(1)


def _heads(attention: WanAttention, x: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    heads = (attention.heads, -1)
    query = _rms_norm(attention.norm_q, attention.to_q(x)).unflatten(-1, heads)
    key = _rms_norm(attention.norm_k, attention.to_k(source)).unflatten(-1, heads)
    return query, key, attention.to_v(source).unflatten(-1, heads)


def _rms_norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    """In the dtype of `x`: mixed dtypes would leave the fused kernel."""
    return F.rms_norm(x, norm.normalized_shape, norm.weight.to(x.dtype), norm.eps)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([first * cos - second * sin, first * sin + second * cos], -1).flatten(-2).to(x.dtype)


def _dense(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention without a mask over [B, latents, tokens, heads, head_dim]."""
    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).unflatten(1, query.shape[1:3])


def _embed(
    model: WanTransformer3DModel, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor, positions: Tensor
) -> Tokens:
    hidden = model.patch_embedding(latents)
    height, width = hidden.shape[-2:]
    hidden = hidden.permute(0, 2, 3, 4, 1).reshape(-1, height * width, hidden.shape[1])
    embedder = model.condition_embedder
    with torch.autocast(latents.device.type, enabled=False):
        time = embedder.time_embedder(embedder.timesteps_proj(timesteps.flatten()).to(model.scale_shift_table.dtype))
        modulation = embedder.time_proj(embedder.act_fn(time)).unflatten(-1, (6, -1)).float()
    cos, sin = _rope(model, positions.expand(timesteps.shape), height, width)
    text = embedder.text_embedder(prompt_embeds)
    return Tokens(_own(hidden), text, modulation, time.view(*timesteps.shape, -1), cos, sin)


def _rope(model: WanTransformer3DModel, positions: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    rope = model.rope
    sizes = [rope.t_dim, rope.h_dim, rope.w_dim]
    positions = positions.flatten()
    grid = (len(positions), height, width)

    def table(freqs: Tensor) -> Tensor:
        t, h, w = freqs.float().split(sizes, 1)
        parts = (
            t[positions][:, None, None].expand(*grid, -1),
            h[:height].view(1, height, 1, -1).expand(*grid, -1),
            w[:width].view(1, 1, width, -1).expand(*grid, -1),
        )
        return torch.cat(parts, -1)[..., ::2].flatten(1, 2).unsqueeze(2)  # each value stands twice in the class's table

    return table(rope.freqs_cos), table(rope.freqs_sin)


def _project(model: WanTransformer3DModel, hidden: Tensor, time: Tensor, like: Tensor) -> Tensor:
    shift, scale = (model.scale_shift_table[:, None] + time.unsqueeze(2)).unsqueeze(3).unbind(2)
    x = (model.norm_out(hidden.float()) * (1 + scale) + shift).to(hidden.dtype)
    out = model.proj_out(x)
    batch, channels, frames, height, width = like.shape
    _, p, q = model.config.patch_size
    out = out.view(batch, frames, height // p, width // q, p, q, channels)
    return out.permute(0, 6, 1, 2, 4, 3, 5).reshape(batch, channels, frames, height, width).float()
