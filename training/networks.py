"""The transformer and the text encoder: made, run on token ids, saved and loaded.

Owns construction and the files between stages. Does not know losses or data.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from training import config
from training.session import load, save

TEXT_FILE = "text_encoder.pt"


@dataclass(frozen=True, slots=True)
class Networks:
    """The two networks that are trained together."""

    transformer: WanTransformer3DModel
    text_encoder: UMT5EncoderModel

    @property
    def modules(self) -> tuple[nn.Module, nn.Module]:
        """Both, in a fixed order."""
        return self.transformer, self.text_encoder

    def requires_grad_(self, wanted: bool) -> Networks:
        """Switch gradients of both on or off."""
        for module in self.modules:
            module.requires_grad_(wanted)
        return self


def new_networks(vocab_pieces: int, *, transformer: dict[str, object] | None = None) -> Networks:
    """Untrained networks; the velocity starts at zero, as in the published WAN models."""
    made = WanTransformer3DModel(**config.TRANSFORMER | (transformer or {}))
    nn.init.zeros_(made.proj_out.weight)
    nn.init.zeros_(made.proj_out.bias)
    return Networks(made, new_text_encoder(vocab_pieces))


def new_text_encoder(vocab_pieces: int) -> UMT5EncoderModel:
    """An untrained text encoder."""
    return UMT5EncoderModel(UMT5Config(vocab_size=vocab_pieces, **config.TEXT_ENCODER))


def save_text_encoder(folder: Path, vocab_pieces: int, weights: Mapping[str, Tensor]) -> None:
    """Write weights in half precision to `<folder>/text_encoder.pt`."""
    halves = {name: tensor.half().cpu() for name, tensor in weights.items()}
    halves.pop("encoder.embed_tokens.weight", None)  # the same tensor as "shared.weight"
    save(folder / TEXT_FILE, {"vocab": vocab_pieces, "weights": halves})


def load_text_encoder(folder: Path) -> UMT5EncoderModel:
    """Read what `save_text_encoder` wrote, in fp32."""
    states = load(folder / TEXT_FILE)
    model = new_text_encoder(states["vocab"])
    weights = {name: tensor.float() for name, tensor in states["weights"].items()}
    model.load_state_dict(weights | {"encoder.embed_tokens.weight": weights["shared.weight"]})
    return model


def save_networks(folder: Path, networks: Networks, weights: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    """Write weights in half precision, one file a network, with what is needed to build them again."""
    transformer, text_encoder = networks.modules
    made = {k: v for k, v in dict(transformer.config).items() if k in config.TRANSFORMER}
    halves = {name: tensor.half().cpu() for name, tensor in weights[0].items()}
    save(folder / "transformer.pt", {"config": made, "weights": halves})
    save_text_encoder(folder, text_encoder.config.vocab_size, weights[1])


def load_networks(folder: Path, device: torch.device | str) -> Networks:
    """Read what `save_networks` wrote, in fp32."""
    states = load(folder / "transformer.pt")
    transformer = WanTransformer3DModel(**config.TRANSFORMER | states["config"])
    transformer.load_state_dict({k: v.float() for k, v in states["weights"].items()})
    networks = Networks(transformer, load_text_encoder(folder))
    for module in networks.modules:
        module.to(device)
    return networks


def convert_networks(
    folder: Path, out: Path, convert: Callable[[WanTransformer3DModel], WanTransformer3DModel]
) -> None:
    """Every network of a run to another run, its transformer converted; and the run's own text encoder as it is."""
    for source in sorted(folder.glob("*/transformer.pt")):
        held = load_networks(source.parent, "cpu")
        pair = Networks(convert(held.transformer), held.text_encoder)
        save_networks(out / source.parent.name, pair, (pair.transformer.state_dict(), pair.text_encoder.state_dict()))
    shutil.copyfile(folder / TEXT_FILE, out / TEXT_FILE)


def by_cell(model: WanTransformer3DModel, written: Tensor) -> Tensor:
    """Weight or bias of the last projection [cells * C, ...], as [cells, C, ...]; a view."""
    _, height, width = model.config["patch_size"]
    return written.unflatten(0, (height * width, -1))


def embed_prompts(text_encoder: UMT5EncoderModel, token_ids: Tensor) -> Tensor:
    """Token ids [B, T], padded with 0, to prompt_embeds [B, T, text_dim], zero behind the last token as WAN has it."""
    mask = (token_ids != 0).long()
    embeds = text_encoder(token_ids, mask).last_hidden_state
    return embeds * mask[..., None].to(embeds.dtype)
