"""The stateless transformer step against diffusers' own forward, and the cache against a mask."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttnProcessor

from engines.transformer_step import TextKeysValues, TimeEmbedding, TransformerStep, rotary_tables
from tests import tiny

HEIGHT, WIDTH = 4, 6
TOKENS = HEIGHT * WIDTH // 4


class _Masked(WanAttnProcessor):
    """diffusers' own attention with a mask over tokens in self-attention."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask = mask

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        assert attention_mask is None
        mask = self.mask if encoder_hidden_states is None else None
        return super().__call__(attn, hidden_states, encoder_hidden_states, mask, rotary_emb)


def _inputs(frames: int) -> tuple[WanTransformer3DModel, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = tiny.transformer()
    return model, torch.randn(1, 8, frames, HEIGHT, WIDTH), torch.randn(1, 16, 16), torch.rand(frames) * 1000


@torch.inference_mode()
def test_one_block_equals_diffusers_with_a_timestep_for_each_latent() -> None:
    model, latents, embeds, timesteps = _inputs(3)
    expected = model(latents, timesteps.repeat_interleave(TOKENS)[None], embeds).sample
    text = TextKeysValues(model)(embeds)
    empty = text.new_zeros(2, 2, 2, 0, 24)
    tables = rotary_tables(model, 0, 3, HEIGHT, WIDTH)
    velocity, keys_values = TransformerStep(model)(latents, TimeEmbedding(model)(timesteps), text, *tables, empty)
    assert (velocity - expected).abs().max() <= 1e-4
    assert keys_values.shape == (2, 2, 2, 3 * TOKENS, 24)


@torch.inference_mode()
def test_blocks_with_a_cache_equal_one_pass_with_a_block_mask() -> None:
    """Blocks 1, 3, 3 with a sink of one latent and a window of three, at timesteps of their own."""
    model, latents, embeds, _ = _inputs(7)
    blocks = [range(1), range(1, 4), range(4, 7)]
    context = [[], [0], [0, 1, 2, 3]]
    timesteps = torch.tensor([0.0, *[250.0] * 3, *[700.0] * 3])

    visible = torch.zeros(7, 7, dtype=torch.bool)
    for block, seen in zip(blocks, context, strict=True):
        for i in block:
            visible[i, list(block) + seen] = True
    mask = visible.repeat_interleave(TOKENS, 0).repeat_interleave(TOKENS, 1)[None, None]
    masked = tiny.transformer()
    masked.load_state_dict(model.state_dict())
    for block in masked.blocks:
        block.attn1.set_processor(_Masked(mask))
    expected = masked(latents, timesteps.repeat_interleave(TOKENS)[None], embeds).sample

    step, time, text = TransformerStep(model), TimeEmbedding(model), TextKeysValues(model)(embeds)
    kept: dict[int, torch.Tensor] = {}
    for block, seen in zip(blocks, context, strict=True):
        part = latents[:, :, block.start : block.stop]
        cache = torch.cat([text.new_zeros(2, 2, 2, 0, 24), *(kept[i] for i in seen)], dim=3)
        tables = rotary_tables(model, block.start, len(block), HEIGHT, WIDTH)
        velocity, own = step(part, time(timesteps[block.start : block.stop]), text, *tables, cache)
        kept.update(zip(block, own.chunk(len(block), dim=3), strict=True))
        assert (velocity - expected[:, :, block.start : block.stop]).abs().max() <= 1e-4
