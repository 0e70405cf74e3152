"""The training passes compute what diffusers' own classes compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch._dynamo.testing import CompileCounterWithBackend

from training import config
from training.autoencode import decode_frames, encode_moments
from training.forward import KeysValues, Pieces, cached_forward, separate_forward, teacher_forced_forward


@pytest.fixture
def model() -> WanTransformer3DModel:
    torch.manual_seed(0)
    sizes = config.TRANSFORMER | {"num_layers": 2, "ffn_dim": 64, "num_attention_heads": 2, "attention_head_dim": 24}
    return WanTransformer3DModel(**sizes).eval()


@torch.no_grad()
def test_without_context_it_is_the_class_itself(model: WanTransformer3DModel) -> None:
    latents, text = torch.randn(2, config.LATENT_CHANNELS, 4, 4, 6), torch.randn(2, 7, 192)
    timesteps = torch.tensor([[0, 500, 999, 3], [7, 7, 100, 1]])
    expected = model(latents, timesteps.repeat_interleave(6, 1), text).sample
    actual, _ = cached_forward(model, latents, timesteps, text, torch.arange(4)[None])
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_pictures_that_share_a_prompt_do_not_see_each_other(model: WanTransformer3DModel) -> None:
    latents, text = torch.randn(2, config.LATENT_CHANNELS, 3, 4, 6), torch.randn(2, 7, 192)
    timesteps = torch.tensor([[0, 500, 999], [7, 70, 100]])
    actual = separate_forward(model, latents, timesteps, text)
    for at in range(3):
        one = latents[:, :, at : at + 1], timesteps[:, at : at + 1].repeat_interleave(6, 1), text
        torch.testing.assert_close(actual[:, :, at : at + 1], model(*one).sample, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_teacher_forcing_equals_one_block_after_another(model: WanTransformer3DModel) -> None:
    clean, noisy, text = (
        torch.randn(2, config.LATENT_CHANNELS, 10, 4, 6),
        torch.randn(2, config.LATENT_CHANNELS, 10, 4, 6),
        torch.randn(2, 7, 192),
    )
    blocks = [range(1), range(1, 4), range(4, 7), range(7, 10)]
    timesteps = torch.tensor([[10], [200], [500], [900]]).repeat_interleave(3, 0)[2:].T.repeat(2, 1)
    positions = torch.tensor([[0, *range(1, 10)], [0, *range(31, 40)]])
    actual = teacher_forced_forward(model, clean, noisy, timesteps, text, positions)
    caches: list[list[KeysValues]] = []
    for number, block in enumerate(blocks):
        at = list(block)
        seen = [caches[i] for i in sorted({0, number - 1}) if 0 <= i < number]
        context = [
            (torch.cat([k[layer][0] for k in seen], 1), torch.cat([k[layer][1] for k in seen], 1))
            for layer in range(2 if seen else 0)
        ]
        inputs = (text, positions[:, at], context or None)
        expected, _ = cached_forward(model, noisy[:, :, at], timesteps[:, at], *inputs)
        torch.testing.assert_close(actual[:, :, at], expected, atol=1e-5, rtol=1e-4)
        _, own = cached_forward(model, clean[:, :, at], torch.zeros(2, len(at), dtype=torch.long), *inputs)
        caches.append(own)


@torch.no_grad()
def test_two_chunks_equal_streaming_latent_by_latent() -> None:
    torch.manual_seed(0)
    vae = AutoencoderKLWan(**config.VAE | {"base_dim": 8, "decoder_base_dim": 8}).eval()
    frames = torch.rand(1, 3, 9, 64, 32) * 2 - 1
    mean, _ = encode_moments(vae, frames)
    torch.testing.assert_close(mean, vae.encode(frames).latent_dist.mean, atol=1e-5, rtol=1e-4)
    decoded = decode_frames(vae, mean).clamp(-1, 1)
    torch.testing.assert_close(decoded, vae.decode(mean).sample, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the compiler's own
def test_the_pieces_have_one_graph_for_all_lengths_sizes_and_layers(model: WanTransformer3DModel) -> None:
    graphs = CompileCounterWithBackend("eager")

    def compiled(piece: Any) -> Any:
        return torch.compile(piece, dynamic=True, backend=graphs)

    plain = Pieces.plain()
    pieces = Pieces(*(compiled(piece) for piece in (plain.before, plain.between, plain.after)))
    for batch, frames, height, width in ((7, 1, 8, 10), (5, 3, 8, 10), (3, 3, 8, 14), (11, 1, 8, 14)):
        latents = torch.randn(batch, model.config.in_channels, frames, height, width)
        given = latents, torch.full((batch, frames), 500), torch.randn(batch, 7, model.config.text_dim)
        positions = torch.arange(frames)[None]
        _, context = cached_forward(model, *given, positions, pieces=pieces)
        with torch.no_grad():
            cached_forward(model, *given, positions + frames, context, pieces=pieces)
    # Three pieces with gradients, three without, and twice more where as many latents as prompts (images) come first.
    assert graphs.frame_count <= 8
