"""The stateless decoder step against diffusers' own decode, on all three kinds of WAN VAE."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan

from engines.vae_step import CacheShapes, FramesStep, VaeStep
from tests import tiny


def _wan21() -> AutoencoderKLWan:
    """8 x 8 x 4, without residual up-blocks or patches: the VAE of WAN 2.1 and of Wan2.2-T2V-A14B."""
    config: dict[str, Any] = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 1}
    model = AutoencoderKLWan(**config, latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    return model.eval()


@pytest.mark.parametrize("make", [tiny.vae, _wan21])
def test_streaming_decode_equals_diffusers(make: Any) -> None:
    torch.manual_seed(0)
    vae: AutoencoderKLWan = make()
    z_dim = vae.config["z_dim"]
    latents = torch.randn(1, z_dim, 4, 4, 6)
    mean, std = (torch.tensor(vae.config[k]).view(1, -1, 1, 1, 1) for k in ("latents_mean", "latents_std"))
    with torch.inference_mode():
        expected = vae.decode(latents * std + mean).sample
        caches = [torch.zeros(shape) for shape in CacheShapes(vae)(4, 6)]
        made = []
        for i in range(latents.shape[2]):
            step = VaeStep(vae, first=i == 0)
            frames, *caches = step(latents[:, :, i : i + 1], *caches)
            assert frames.shape[2] == (1 if i == 0 else 4)
            made.append(frames)
    assert (torch.cat(made, dim=2) - expected).abs().max() <= 1e-4


def test_pixels_are_the_frames_rounded() -> None:
    torch.manual_seed(1)
    vae = tiny.vae()
    latents = torch.randn(1, 8, 1, 4, 6)
    caches = [0.1 * torch.randn(shape) for shape in CacheShapes(vae)(4, 6)]
    step = VaeStep(vae, first=False)
    with torch.inference_mode():
        frames, *_ = step(latents, *caches)
        pixels, *_ = FramesStep(step)(latents, *caches)
    expected = (frames[0] * 127.5 + 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
    assert pixels.shape == (4, 64, 96, 3)
    assert torch.equal(pixels, expected)


def test_in_place_the_given_caches_become_the_new_ones() -> None:
    torch.manual_seed(2)
    vae, latents = tiny.vae(), torch.randn(3, 1, 8, 1, 4, 6)
    kept = [torch.zeros(shape) for shape in CacheShapes(vae)(4, 6)]
    new = [cache.clone() for cache in kept]
    with torch.inference_mode():
        for i, latent in enumerate(latents):
            expected, *new = VaeStep(vae, first=i == 0)(latent, *new)
            made, *same = VaeStep(vae, first=i == 0, in_place=True)(latent, *kept)
            assert torch.equal(made, expected)
            assert all(a is b for a, b in zip(same, kept, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept, new, strict=True))


@pytest.mark.parametrize("make", [tiny.vae, _wan21])
@pytest.mark.parametrize("together", [1, 2, 3])
def test_few_frames_at_a_time_are_the_same_frames_and_caches(make: Any, together: int) -> None:
    torch.manual_seed(3)
    vae: AutoencoderKLWan = make()
    latents = torch.randn(3, 1, vae.config["z_dim"], 1, 4, 6)
    whole, parts, in_place = ([torch.zeros(shape) for shape in CacheShapes(vae)(4, 6)] for _ in range(3))
    with torch.inference_mode():
        for i, latent in enumerate(latents):
            expected, *whole = VaeStep(vae, first=i == 0)(latent, *whole)
            made, *parts = VaeStep(vae, first=i == 0, together=together)(latent, *parts)
            also, *_ = VaeStep(vae, first=i == 0, together=together, in_place=True)(latent, *in_place)
            assert (made - expected).abs().max() <= 1e-5
            assert torch.equal(also, made)
    for a, b, c in zip(whole, parts, in_place, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
        assert torch.equal(b, c)
