"""Whole clips through `AutoencoderKLWan` in two chunks, with gradients: the first frame, then all others at once.

Owns the chunking and the normalisation of latents. Does not know losses or data. The class needs its feature caches in
training too: without them the temporal convolutions of its resamplers are left out. Two chunks give the same numbers
as streaming latent by latent.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify, unpatchify
from torch import Tensor


def encode_moments(vae: AutoencoderKLWan, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Encode clips.

    Args:
        frames: [B, 3, 1 + 4k, H, W] in [-1, 1].

    Returns:
        Mean and log-variance of the latents, each [B, C, 1 + k, H/16, W/16], not normalised.
    """
    x = patchify(frames, vae.config.patch_size)
    cache: list[object] = [None] * vae._cached_conv_counts["encoder"]
    chunks = [vae.encoder(x[:, :, :1], feat_cache=cache, feat_idx=[0])]
    if x.shape[2] > 1:
        chunks.append(vae.encoder(x[:, :, 1:], feat_cache=cache, feat_idx=[0]))
    mean, log_variance = vae.quant_conv(torch.cat(chunks, 2)).chunk(2, 1)
    return mean, log_variance.clamp(-30.0, 20.0)


def decode_frames(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Decode latents [B, C, 1 + k, h, w], not normalised, to frames [B, 3, 1 + 4k, 16h, 16w], not clamped."""
    x = vae.post_quant_conv(latents)
    cache: list[object] = [None] * vae._cached_conv_counts["decoder"]
    chunks = [vae.decoder(x[:, :, :1], feat_cache=cache, feat_idx=[0], first_chunk=True)]
    if x.shape[2] > 1:
        chunks.append(vae.decoder(x[:, :, 1:], feat_cache=cache, feat_idx=[0]))
    return unpatchify(torch.cat(chunks, 2), vae.config.patch_size)


def latent_statistics(vae: AutoencoderKLWan, like: Tensor) -> tuple[Tensor, Tensor]:
    """The checkpoint's mean and standard deviation of latents, each [1, C, 1, 1, 1], device and dtype of `like`."""
    mean = torch.tensor(vae.config.latents_mean, device=like.device, dtype=like.dtype)
    std = torch.tensor(vae.config.latents_std, device=like.device, dtype=like.dtype)
    return mean.view(1, -1, 1, 1, 1), std.view(1, -1, 1, 1, 1)


def normalise(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Encoder's latents to what the transformer is given."""
    mean, std = latent_statistics(vae, latents)
    return (latents - mean) / std


def denormalise(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """What the transformer gives to what the decoder takes."""
    mean, std = latent_statistics(vae, latents)
    return latents * std + mean
