"""More channels, the same pictures and the same velocity; and gradients that reach what is new."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

from training import config
from training.autoencode import decode_frames, encode_moments
from training.forward import cached_forward
from training.vae import LATENT_NOISE, losses, total
from training.widen import widen_transformer, widen_vae

OLD, NEW = 6, 10


@pytest.fixture
def vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    sizes = config.VAE | {"base_dim": 8, "decoder_base_dim": 4, "z_dim": OLD, "dim_mult": [1, 4, 4]}
    made = AutoencoderKLWan(**sizes, latents_mean=[0.3] * OLD, latents_std=[0.7] * OLD).eval().requires_grad_(False)
    for name, parameter in made.named_parameters():
        if name.endswith("gamma"):
            parameter.uniform_(0.5, 1.5)
    return made


@torch.no_grad()
def test_the_same_latents_and_the_same_pictures(vae: AutoencoderKLWan) -> None:
    wide = widen_vae(vae, NEW, 12, 6)
    frames = torch.rand(1, 3, 9, 64, 96) * 2 - 1
    latents, made = encode_moments(vae, frames)[0], encode_moments(wide, frames)[0]
    torch.testing.assert_close(made[:, :OLD], latents, atol=1e-5, rtol=1e-5)
    assert made[:, OLD:].std() > 0.05
    torch.testing.assert_close(decode_frames(wide, made), decode_frames(vae, latents), atol=1e-5, rtol=1e-4)
    assert wide.config["latents_mean"] == [0.3] * OLD + [0.0] * (NEW - OLD)


def test_what_is_new_learns(vae: AutoencoderKLWan) -> None:
    """Two steps: the first wakes what reads the new parts, the second reaches them."""
    wide = widen_vae(vae, NEW, 12, 6).train().requires_grad_(True)
    optimizer = torch.optim.Adam(wide.parameters(), 1e-3)
    before = {name: tensor.clone() for name, tensor in wide.state_dict().items()}
    frames = torch.rand(1, 3, 5, 64, 64) * 2 - 1
    for _ in range(2):
        optimizer.zero_grad()
        total(losses(wide, frames, LATENT_NOISE)).backward()
        optimizer.step()
    after = wide.state_dict()
    assert not torch.equal(after["encoder.conv_out.weight"][OLD:NEW], before["encoder.conv_out.weight"][OLD:NEW])
    for name, old in vae.state_dict().items():
        if name.endswith("weight") and name != "quant_conv.weight" and len(old) < len(after[name]):
            assert not torch.equal(after[name][len(old) :], before[name][len(old) :]), name


@torch.no_grad()
def test_one_half_alone(vae: AutoencoderKLWan) -> None:
    frames = torch.rand(1, 3, 5, 64, 64) * 2 - 1
    latents = encode_moments(vae, frames)[0]
    torch.testing.assert_close(encode_moments(widen_vae(vae, OLD, 12, 4), frames)[0], latents, atol=1e-5, rtol=1e-5)
    pictures = decode_frames(widen_vae(vae, OLD, 8, 6), latents)
    torch.testing.assert_close(pictures, decode_frames(vae, latents), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_same_velocity_and_none_of_the_new_channels() -> None:
    sizes = {"num_layers": 1, "ffn_dim": 32, "num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 16}
    model = WanTransformer3DModel(**config.TRANSFORMER | sizes | {"in_channels": OLD, "out_channels": OLD})
    wide, latents = widen_transformer(model, NEW), torch.randn(2, NEW, 1, 4, 6)
    given = torch.full((2, 1), 500), torch.randn(2, 5, 16), torch.zeros(1, 1, dtype=torch.long)
    made, expected = cached_forward(wide, latents, *given)[0], cached_forward(model, latents[:, :OLD], *given)[0]
    torch.testing.assert_close(made[:, :OLD], expected, atol=1e-6, rtol=1e-5)
    assert made[:, OLD:].abs().max() == 0
