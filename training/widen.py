"""Give a run's autoencoder more latent channels or wider halves, and its networks room for them; change nothing.

Owns how old weights lie in the wider networks. What is new is silent (nothing reads the new latents, the new channels
inside are zero) but not dead: gradients reach it. Does not train: `training.vae` and `training.transformer` go on.
Afterwards a student need not learn the new channels from nothing: it takes its teacher's words for them.

    python -m training.widen --folder .train/run --out .train/wide --channels 24 --encoder 48 --decoder 20
    python -m training.graft --folder .train/wide --networks few --old 12
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor

from training import config
from training.networks import by_cell, convert_networks
from training.vae import load_vae, new_vae, save_vae

NEW_WEIGHT = 0.02
"""Deviation of new weights that something comes through; features are normalised."""
LOG_VARIANCE = -6.0
"""That the encoder gives of new channels."""
_HALVES = ("encoder.", "decoder.")
_CHUNKS = {
    r".*\.to_qkv": (3, 1),
    r"decoder\..*\.time_conv": (2, 1),
    r"encoder\.conv_out": (2, 1),
    r"quant_conv": (2, 2),
}
"""Layers whose outputs, or inputs, are several tensors one behind the other."""


def widen_vae(vae: AutoencoderKLWan, channels: int, base_dim: int, decoder_base_dim: int) -> AutoencoderKLWan:
    """The same pictures from `channels` latents, of which the new ones say nothing yet.

    Args:
        vae: in single precision.
        channels: of the latents, as many as there are or more.
        base_dim: of the encoder, not less than it is.
        decoder_base_dim: likewise.
    """
    sizes = {name: vae.config[name] for name in config.VAE}
    old_channels = sizes["z_dim"]
    made = new_vae(sizes | {"z_dim": channels, "base_dim": base_dim, "decoder_base_dim": decoder_base_dim})
    weights = vae.state_dict()
    wide = {name: _laid_in(name, weights[name], fresh) for name, fresh in made.state_dict().items()}
    for name, old in weights.items():
        root = math.sqrt(len(wide[name]) / len(old))
        if name.startswith(_HALVES) and name.endswith("gamma"):  # norms multiply by the root of their width
            wide[name][: len(old)] /= root
        if ".to_qkv." in name:  # attention divides by it
            wide[name][: len(wide[name]) // 3] *= root
    for name, size in (("quant_conv", 2 * channels), ("post_quant_conv", channels)):
        for i in range(size):
            if i % channels >= old_channels:  # what is new goes through as it is
                wide[f"{name}.weight"][i, i] = 1
    wide["encoder.conv_out.weight"][old_channels:channels].normal_(std=NEW_WEIGHT)
    wide["encoder.conv_out.bias"][channels + old_channels :] = LOG_VARIANCE
    wide["decoder.conv_in.weight"][:, old_channels:] = 0
    made.load_state_dict(wide)
    mean, std, new = vae.config.latents_mean, vae.config.latents_std, channels - old_channels
    made.register_to_config(latents_mean=[*mean, *[0.0] * new], latents_std=[*std, *[1.0] * new])
    return made.eval().requires_grad_(False)


def widen_transformer(model: WanTransformer3DModel, channels: int) -> WanTransformer3DModel:
    """The same velocity of the old channels and none of the new ones, whatever they are."""
    sizes = {name: model.config[name] for name in config.TRANSFORMER}
    made = WanTransformer3DModel(**sizes | {"in_channels": channels, "out_channels": channels})
    weights = dict(model.state_dict())
    old = model.config["in_channels"]
    patches = made.state_dict()["patch_embedding.weight"].zero_()
    patches[:, :old] = weights["patch_embedding.weight"]
    weights["patch_embedding.weight"] = patches
    for name in ("proj_out.weight", "proj_out.bias"):
        per_cell = by_cell(model, weights[name])
        wide = per_cell.new_zeros(len(per_cell), channels, *per_cell.shape[2:])
        wide[:, :old] = per_cell
        weights[name] = wide.flatten(0, 1)
    made.load_state_dict(weights)
    return made


def _laid_in(name: str, old: Tensor, fresh: Tensor) -> Tensor:
    """`old` in a tensor like `fresh`, where it belongs; new outputs are zero, old outputs read new inputs a little."""
    if old.shape == fresh.shape:
        return old.clone()
    layer, _, kind = name.rpartition(".")
    if kind == "gamma":
        made = torch.ones_like(fresh)
        made[: len(old)] = old
        return made
    outputs, inputs = next((of for layers, of in _CHUNKS.items() if re.fullmatch(layers, layer)), (1, 1))
    made, rows = torch.zeros_like(fresh), _places(len(fresh), len(old), outputs)
    if kind == "bias":
        made[rows] = old
        return made
    if layer.startswith(_HALVES):
        made[rows] = NEW_WEIGHT * torch.randn_like(made[rows])
    made[rows[:, None], _places(fresh.shape[1], old.shape[1], inputs)] = old
    return made


def _places(new: int, old: int, chunks: int) -> Tensor:
    """Indices of `old` rows among `new` ones, where both are `chunks` tensors one behind the other."""
    return torch.cat([torch.arange(old // chunks) + chunk * (new // chunks) for chunk in range(chunks)])


def main() -> None:
    """Widen a run: its autoencoder and every network of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--channels", type=int, help="of the latents; default: as many as there are")
    parser.add_argument("--encoder", type=int, help="base width; default: as it is")
    parser.add_argument("--decoder", type=int, help="base width; default: as it is")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    vae = load_vae(args.folder, "cpu")
    held = ((args.channels, "z_dim"), (args.encoder, "base_dim"), (args.decoder, "decoder_base_dim"))
    channels, *bases = (vae.config[name] if asked is None else asked for asked, name in held)
    save_vae(widen_vae(vae, channels, *bases), args.out)
    convert_networks(args.folder, args.out, lambda model: widen_transformer(model, channels))


if __name__ == "__main__":
    main()
