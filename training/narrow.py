"""Rotate a run's latents and keep the channels that carry something: the same pictures from fewer numbers.

Owns the directions that are kept and folding them into the networks: the encoder's last convolution, the decoder's
first, the transformer's patch embedding and projection. Does not train. An autoencoder whose latents are noised channel
by channel says one thing in many channels; a transformer that predicts velocity then hands most of its width's numbers
through as noise.

    python -m training.narrow --folder .train/run --tokenizer .train/tokenizer --out .train/narrow
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn
from transformers import AutoTokenizer

from training import config
from training.autoencode import decode_frames, denormalise, latent_statistics
from training.latents import Drawings, LatentRing
from training.networks import by_cell, convert_networks
from training.vae import load_vae, save_vae

SILENT = -20.0
"""Log-variance that the narrow encoder gives: its own was trained for other channels, and only its mean is used."""


def directions(vae: AutoencoderKLWan, latents: Tensor, channels: int) -> Tensor:
    """Orthonormal columns [C, channels]: the principal directions of normalised latents [N, C, F, h, w].

    The last of them is chosen so that what is dropped is the same in all pictures and needs no bias behind a padded
    convolution: mean of the latents and constant parts in front of the decoder lie in the columns' span.
    """
    flat = latents.double().transpose(0, 1).flatten(1)
    mean = flat.mean(1, keepdim=True)
    _, vectors = torch.linalg.eigh((flat - mean) @ (flat - mean).T)
    constant = mean[:, 0] + _constant(vae)
    return torch.linalg.qr(torch.cat([vectors[:, -(channels - 1) :], constant[:, None]], 1)).Q


def narrow_vae(vae: AutoencoderKLWan, kept: Tensor) -> AutoencoderKLWan:
    """The autoencoder whose normalised latents are `kept`'s coordinates of this one's.

    Args:
        kept: from `directions`.
    """
    channels, constant = kept.shape[1], _constant(vae)
    mean, std = (x.flatten() for x in latent_statistics(vae, kept))
    sizes = {name: vae.config[name] for name in config.VAE} | {"z_dim": channels}
    shift = kept.T @ constant
    made = AutoencoderKLWan(**sizes, latents_mean=shift.tolist(), latents_std=[1.0] * channels)
    weights = {name: tensor.double() for name, tensor in vae.state_dict().items()}
    z_dim = len(mean)
    # Encoder: y = kept^T ((moments' mean - mean) / std + constant), all of it in the last convolution.
    quant = weights["quant_conv.weight"].flatten(1)[:z_dim]
    out = kept.T @ (quant / std[:, None])
    bias = quant @ weights["encoder.conv_out.bias"] + weights["quant_conv.bias"][:z_dim]
    last = torch.einsum("ko,oithw->kithw", out, weights["encoder.conv_out.weight"])
    weights["encoder.conv_out.weight"] = torch.cat([last, torch.zeros_like(last)])
    bias = kept.T @ ((bias - mean) / std + constant)
    weights["encoder.conv_out.bias"] = torch.cat([bias, torch.full_like(bias, SILENT)])
    # Decoder: std * (kept y) is what the widened latents and the constants of both layers in front of it come to.
    post = weights["post_quant_conv.weight"].flatten(1) @ (std[:, None] * kept)
    weights["decoder.conv_in.weight"] = torch.einsum("oithw,ik->okthw", weights["decoder.conv_in.weight"], post)
    for name, size in (("quant_conv", 2 * channels), ("post_quant_conv", channels)):
        weights[f"{name}.weight"] = torch.eye(size).view(size, size, 1, 1, 1)
        weights[f"{name}.bias"] = torch.zeros(size)
    made.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return made.eval().requires_grad_(False)


def narrow_transformer(model: WanTransformer3DModel, kept: Tensor) -> WanTransformer3DModel:
    """The transformer of the narrow latents: what it was given in other directions is nothing now."""
    channels = kept.shape[1]
    sizes = {name: model.config[name] for name in config.TRANSFORMER}
    made = WanTransformer3DModel(**sizes | {"in_channels": channels, "out_channels": channels})
    weights = dict(model.state_dict())
    weights["patch_embedding.weight"] = torch.einsum(
        "dcfhw,ck->dkfhw", weights["patch_embedding.weight"].double(), kept
    )
    for name in ("proj_out.weight", "proj_out.bias"):
        per_cell = by_cell(model, weights[name].double())
        weights[name] = torch.einsum("pc...,ck->pk...", per_cell, kept).flatten(0, 1)
    made.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return made


def _constant(vae: AutoencoderKLWan) -> Tensor:
    """What normalised latents [C] have to be moved by so that the decoder's first layers have no constant part."""
    weight = vae.post_quant_conv.weight.double().flatten(1)
    assert isinstance(vae.post_quant_conv.bias, nn.Parameter)
    mean, std = (x.flatten() for x in latent_statistics(vae, weight))
    return (mean + torch.linalg.solve(weight, vae.post_quant_conv.bias.double())) / std


def main() -> None:
    """Narrow a run: its autoencoder and every network of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--channels", type=int, default=config.LATENT_CHANNELS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", default="768x448")
    parser.add_argument("--drawings", type=int, default=4)
    parser.add_argument("--images", type=int, default=24, help="of a drawing")
    args = parser.parse_args()
    vae, device = load_vae(args.folder, "cpu"), torch.device("cpu")
    ring = LatentRing(config.Size.parse(args.size), args.drawings * args.images, device, images=True)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    drawings = iter(Drawings(tokenizer, seed=args.channels, clips=args.images, captions=1, far=None))
    for _ in range(args.drawings):
        ring.add(vae, next(drawings))
    latents = ring.batch(ring.held).latents
    kept = directions(vae, latents, args.channels)
    made = narrow_vae(vae, kept)
    save_vae(made, args.out)
    convert_networks(args.folder, args.out, lambda model: narrow_transformer(model, kept))
    print(f"{_psnr(vae, made, latents[:16], kept):.1f} dB between the two autoencoders' pictures")


@torch.no_grad()
def _psnr(vae: AutoencoderKLWan, narrow: AutoencoderKLWan, latents: Tensor, kept: Tensor) -> float:
    full = decode_frames(vae, denormalise(vae, latents))
    coordinates = torch.einsum("bcfhw,ck->bkfhw", latents.double(), kept).float()
    error = (decode_frames(narrow, denormalise(narrow, coordinates)).clamp(-1, 1) - full.clamp(-1, 1)).square().mean()
    return float(10 * torch.log10(4 / error))


if __name__ == "__main__":
    main()
