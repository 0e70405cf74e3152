"""The transformer and the text encoder: made, run on token ids, saved and loaded.

Owns construction and the files between stages. Does not know losses or data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from training import config
from training.session import load, save


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
    text_encoder = UMT5EncoderModel(UMT5Config(vocab_size=vocab_pieces, **config.TEXT_ENCODER))
    made = WanTransformer3DModel(**config.TRANSFORMER | (transformer or {}))
    nn.init.zeros_(made.proj_out.weight)
    nn.init.zeros_(made.proj_out.bias)
    return Networks(made, text_encoder)


def save_networks(folder: Path, networks: Networks, weights: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
    """Write weights in half precision, one file a network, with what is needed to build them again."""
    transformer, text_encoder = networks.modules
    made = {k: v for k, v in dict(transformer.config).items() if k in config.TRANSFORMER}
    halves = [{name: tensor.half().cpu() for name, tensor in state.items()} for state in weights]
    save(folder / "transformer.pt", {"config": made, "weights": halves[0]})
    halves[1].pop("encoder.embed_tokens.weight", None)  # the same tensor as "shared.weight"
    save(folder / "text_encoder.pt", {"vocab": text_encoder.config.vocab_size, "weights": halves[1]})


def load_networks(folder: Path, device: torch.device | str) -> Networks:
    """Read what `save_networks` wrote, in fp32."""
    first, second = load(folder / "transformer.pt"), load(folder / "text_encoder.pt")
    networks = new_networks(second["vocab"], transformer=first["config"])
    networks.transformer.load_state_dict({k: v.float() for k, v in first["weights"].items()})
    states = {k: v.float() for k, v in second["weights"].items()}
    networks.text_encoder.load_state_dict(states | {"encoder.embed_tokens.weight": states["shared.weight"]})
    for module in networks.modules:
        module.to(device)
    return networks


def embed_prompts(text_encoder: UMT5EncoderModel, token_ids: Tensor) -> Tensor:
    """Token ids [B, T], padded with 0, to prompt_embeds [B, T, text_dim], zero behind the last token as WAN has it."""
    mask = (token_ids != 0).long()
    embeds = text_encoder(token_ids, mask).last_hidden_state
    return embeds * mask[..., None].to(embeds.dtype)
