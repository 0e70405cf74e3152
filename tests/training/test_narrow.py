"""Fewer channels, the same pictures; the same velocity in other coordinates."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

from training import config
from training.autoencode import decode_frames, denormalise, encode_moments, normalise
from training.forward import cached_forward
from training.narrow import directions, narrow_transformer, narrow_vae

CHANNELS = 8


@pytest.fixture
def vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    sizes = config.VAE | {"base_dim": 8, "decoder_base_dim": 8, "z_dim": CHANNELS, "dim_mult": [1, 2, 2]}
    statistics = {"latents_mean": [0.3] * CHANNELS, "latents_std": torch.linspace(0.5, 2, CHANNELS).tolist()}
    return AutoencoderKLWan(**sizes, **statistics).eval().requires_grad_(False)


def _flat_latents(rank: int) -> torch.Tensor:
    """Normalised latents that differ in `rank` directions only, about a mean that lies in none of them."""
    basis = torch.randn(CHANNELS, rank)
    return torch.einsum("cr,brfhw->bcfhw", basis, torch.randn(3, rank, 2, 4, 6)) + torch.randn(1, CHANNELS, 1, 1, 1)


@torch.no_grad()
def test_latents_of_few_directions_decode_to_the_same_pictures(vae: AutoencoderKLWan) -> None:
    latents = _flat_latents(rank=3)
    kept = directions(vae, latents, channels=4)
    torch.testing.assert_close(kept.T @ kept, torch.eye(4, dtype=torch.double))
    narrow = narrow_vae(vae, kept)
    coordinates = torch.einsum("bcfhw,ck->bkfhw", latents.double(), kept).float()
    made = decode_frames(narrow, denormalise(narrow, coordinates))
    torch.testing.assert_close(made, decode_frames(vae, denormalise(vae, latents)), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_encoder_gives_the_coordinates(vae: AutoencoderKLWan) -> None:
    kept = directions(vae, _flat_latents(rank=3), channels=4)
    narrow = narrow_vae(vae, kept)
    frames = torch.rand(1, 3, 5, 64, 96) * 2 - 1
    full, coordinates = (normalise(v, encode_moments(v, frames)[0]) for v in (vae, narrow))
    expected = torch.einsum("bcfhw,ck->bkfhw", full.double(), kept).float()
    torch.testing.assert_close(coordinates, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_velocity_is_the_same_in_other_coordinates(vae: AutoencoderKLWan) -> None:
    kept = directions(vae, _flat_latents(rank=CHANNELS), channels=CHANNELS)
    sizes = {"num_layers": 1, "ffn_dim": 32, "num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 16}
    model = WanTransformer3DModel(**config.TRANSFORMER | sizes | {"in_channels": CHANNELS, "out_channels": CHANNELS})
    narrow = narrow_transformer(model, kept)
    latents = torch.randn(2, CHANNELS, 1, 4, 6)
    given = torch.full((2, 1), 500), torch.randn(2, 5, 16), torch.zeros(1, 1, dtype=torch.long)
    turned = torch.einsum("bcfhw,ck->bkfhw", latents.double(), kept).float()
    expected = torch.einsum("bcfhw,ck->bkfhw", cached_forward(model, latents, *given)[0].double(), kept).float()
    torch.testing.assert_close(cached_forward(narrow, turned, *given)[0], expected, atol=1e-4, rtol=1e-4)
