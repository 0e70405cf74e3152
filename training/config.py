"""Sizes of the embedded model: the constructor arguments of the diffusers and transformers classes it is made of.

Owns the numbers that every training stage and the packed checkpoint share. Does not know data, losses or schedules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FPS = 24
TEXT_TOKENS = 128
LATENT_STRIDE = 16
"""Pixels along one side of a latent cell."""
FRAMES_PER_LATENT = 4
BLOCK_LATENTS = 3
"""Latents of every block behind the first, which holds one."""
MAX_LATENTS = 61
"""Latents of the longest clip on offer: 8 s at 30 frames a second."""
LATENT_CHANNELS = 12
"""What `training.narrow` keeps of the channels that the autoencoder is trained with, and what the transformer sees."""

VAE: dict[str, Any] = {
    "base_dim": 32,
    "decoder_base_dim": 12,
    "z_dim": 48,
    "dim_mult": [1, 4, 4],
    "num_res_blocks": 1,
    "temperal_downsample": [True, True],
    "is_residual": True,
    "in_channels": 48,
    "out_channels": 48,
    "patch_size": 4,
    "scale_factor_spatial": 16,
    "scale_factor_temporal": 4,
}

TRANSFORMER: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 4,
    "attention_head_dim": 64,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "text_dim": 192,
    "freq_dim": 256,
    "ffn_dim": 1024,
    "num_layers": 8,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
}

TEXT_ENCODER: dict[str, Any] = {
    "d_model": 192,
    "d_kv": 48,
    "d_ff": 384,
    "num_layers": 4,
    "num_heads": 4,
    "dropout_rate": 0.0,
    "feed_forward_proj": "gated-gelu",
    "pad_token_id": 0,
    "eos_token_id": 1,
}


@dataclass(frozen=True, slots=True)
class Size:
    """A frame size in pixels whose sides are multiples of 32, so that the transformer's 2 x 2 patches fit."""

    width: int
    height: int

    @property
    def latent(self) -> tuple[int, int]:
        """Height and width of the latent grid."""
        return self.height // LATENT_STRIDE, self.width // LATENT_STRIDE

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read "768x448".

        Raises:
            ValueError: when the text has another form or a side is no multiple of 32.
        """
        width, height = (int(part) for part in text.split("x"))
        if width % 32 or height % 32:
            raise ValueError(f"{text}: both sides must be multiples of 32")
        return cls(width, height)
