"""A tiny WAN checkpoint with random weights: real classes, real files, for shapes and equalities, not for pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from pipeline.request import VideoRequest


class SmallRequest(VideoRequest):
    """A request of a size that is offered to nobody, so that a whole walk takes a moment; nothing else is checked."""

    def __post_init__(self) -> None:
        assert (self.width, self.height) == (96, 64)


STREAMING: dict[str, Any] = {
    "first_block_latents": 1,
    "block_latents": 3,
    "sink_latents": 1,
    "window_latents": 3,
    "num_inference_steps": 2,
    "flow_shift": 3.0,
    "guidance_scale": 1.0,
    "max_sequence_length": 16,
}


def save(
    folder: Path,
    *,
    streaming: dict[str, Any] | None = STREAMING,
    index: dict[str, Any] | None = None,
    autoencoder: AutoencoderKLWan | None = None,
    solver: UniPCMultistepScheduler | None = None,
) -> Path:
    """Write the checkpoint to `folder` in diffusers layout.

    Args:
        streaming: None leaves streaming.json out.
        index: fields of model_index.json that differ; a boundary_ratio adds a second expert.
        autoencoder, solver: in place of `vae()` and `scheduler()`.
    """
    torch.manual_seed(0)
    transformer().save_pretrained(folder / "transformer")
    (autoencoder or vae()).save_pretrained(folder / "vae")
    text_encoder().save_pretrained(folder / "text_encoder")
    tokenizer().save_pretrained(folder / "tokenizer")
    (solver or scheduler()).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "WanPipeline",
        "boundary_ratio": None,
        "expand_timesteps": True,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "transformer_2": [None, None],
        "vae": ["diffusers", "AutoencoderKLWan"],
    } | (index or {})
    if index["boundary_ratio"] is not None:
        torch.manual_seed(1)
        transformer().save_pretrained(folder / "transformer_2")
        index["transformer_2"] = ["diffusers", "WanTransformer3DModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    if streaming is not None:
        (folder / "streaming.json").write_text(json.dumps(streaming))
    return folder


def transformer() -> WanTransformer3DModel:
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=8,
        out_channels=8,
        text_dim=16,
        freq_dim=32,
        ffn_dim=64,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=128,
    )
    return model.eval()


def vae() -> AutoencoderKLWan:
    model = AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=8,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        in_channels=48,
        out_channels=48,
        patch_size=4,
        latents_mean=[0.1 * i for i in range(8)],
        latents_std=[1.0 + 0.1 * i for i in range(8)],
        scale_factor_spatial=16,
        scale_factor_temporal=4,
    )
    return model.eval()


def vae_8x8x4() -> AutoencoderKLWan:
    """The older autoencoder, which the two-expert checkpoint has: 8 x 8 pixels a latent cell, no patches."""
    model = AutoencoderKLWan(
        base_dim=8,
        z_dim=8,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1 * i for i in range(8)],
        latents_std=[1.0 + 0.1 * i for i in range(8)],
    )
    return model.eval()


def text_encoder() -> UMT5EncoderModel:
    config = UMT5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, pad_token_id=0)
    return UMT5EncoderModel(config).eval()


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as pieces: every text has tokens, none is unknown."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *((f"<0x{i:02X}>", -5.0) for i in range(256))]
    inner = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.ByteFallback()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def scheduler() -> UniPCMultistepScheduler:
    """Order 1 without corrector: the Euler step."""
    return UniPCMultistepScheduler(
        solver_order=1,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=3.0,
        disable_corrector=list(range(1000)),
    )
