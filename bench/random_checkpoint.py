"""WAN 2.2's true architectures with random weights from a fixed seed: speed and memory do not depend on their values.

Owns the sizes, as the public configuration files have them, and a byte tokenizer in place of the real one. Nothing is
read from disk or network. Knows no benchmark.

    python -m bench.random_checkpoint --model ti2v-5b --out /tmp/ti2v-5b    # a folder that --model takes everywhere
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from engines.checkpoint import Checkpoint, Configs

MODELS = ("ti2v-5b", "longlive-5b", "a14b")
_Network = TypeVar("_Network", bound=nn.Module)

_TRANSFORMER: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "attention_head_dim": 128,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "text_dim": 4096,
    "freq_dim": 256,
    "rope_max_seq_len": 1024,
}
_5B = _TRANSFORMER | {
    "num_attention_heads": 24,
    "in_channels": 48,
    "out_channels": 48,
    "ffn_dim": 14336,
    "num_layers": 30,
}
_14B = _TRANSFORMER | {
    "num_attention_heads": 40,
    "in_channels": 16,
    "out_channels": 16,
    "ffn_dim": 13824,
    "num_layers": 40,
}
_VAE_16: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "scale_factor_temporal": 4,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
_VAE_8: dict[str, Any] = {
    "base_dim": 96,
    "z_dim": 16,
    "temperal_downsample": [False, True, True],
    "latents_mean": [0.0] * 16,
    "latents_std": [1.0] * 16,
}
_TEXT: dict[str, Any] = {
    "vocab_size": 256384,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
}
_SMALL_TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "ffn_dim": 64,
    "num_layers": 2,
    "text_dim": 32,
}
_SMALL_TEXT = {"vocab_size": 300, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
_SMALL_VAE = {"base_dim": 8, "decoder_base_dim": 8, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}


def random_checkpoint(
    name: str, *, device: torch.device, dtype: torch.dtype, kept: torch.device | None = None, tiny: bool = False
) -> Checkpoint:
    """A checkpoint in memory, weights made on the device.

    Args:
        name: one of `MODELS`.
        dtype: of all weights but the autoencoder's, which stay float32 on the CPU, as a checkpoint's do.
        kept: where each network goes when it is made; None leaves it. A GPU makes 14 billion numbers in a second, a
            CPU in minutes.
        tiny: the same structure, a few channels wide.
    """
    configs = random_configs(name, tiny=tiny)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)

    def made(network: Callable[[], _Network]) -> _Network:
        with torch.device(device):
            module = network().eval()
        if kept is not None:
            nn.Module.to(module, kept)
        return module

    try:
        text_encoder = made(lambda: UMT5EncoderModel(UMT5Config(**configs.text_encoder)))
        transformer = made(lambda: WanTransformer3DModel(**configs.transformer))
        second = configs.transformer_2
        transformer_2 = None if second is None else made(lambda: WanTransformer3DModel(**second))
    finally:
        torch.set_default_dtype(before)
    return Checkpoint(
        folder=configs.folder,
        tokenizer=_tokenizer(),
        text_encoder=text_encoder,
        transformer=transformer,
        vae=AutoencoderKLWan(**configs.vae).eval(),
        scheduler=configs.scheduler,
        transformer_2=transformer_2,
    )


def random_configs(name: str, *, tiny: bool = False) -> Configs:
    """The configuration files that the public checkpoint has; LongLive's are those of its base."""
    if name not in MODELS:
        raise ValueError(f"{name!r}; allowed: {', '.join(MODELS)}")
    has_two = name == "a14b"
    transformer = (_14B if has_two else _5B) | (_SMALL_TRANSFORMER if tiny else {})
    vae = (_VAE_8 if has_two else _VAE_16) | (_SMALL_VAE if tiny else {})
    index = {
        "_class_name": "WanPipeline",
        "expand_timesteps": not has_two,
        "boundary_ratio": 0.875 if has_two else None,
    }
    solver = UniPCMultistepScheduler(
        solver_order=2,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=3.0 if has_two else 5.0,
    )
    return Configs(
        folder=Path(f"{name}, random weights"),
        index=index,
        transformer=transformer,
        vae=vae,
        text_encoder=_SMALL_TEXT if tiny else _TEXT,
        scheduler={"_class_name": type(solver).__name__, **solver.config},
        transformer_2=transformer if has_two else None,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as pieces: as many tokens as a prompt has bytes."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *((f"<0x{i:02X}>", -5.0) for i in range(256))]
    inner = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.ByteFallback()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def pipeline_of(checkpoint: Checkpoint, index: Mapping[str, Any]) -> WanPipeline:
    """diffusers' pipeline of a checkpoint in memory, of the same modules.

    Args:
        index: what model_index.json says besides the parts.
    """
    parts: dict[str, Any] = {
        "tokenizer": checkpoint.tokenizer,
        "text_encoder": checkpoint.text_encoder,
        "vae": checkpoint.vae,
        "scheduler": UniPCMultistepScheduler.from_config(checkpoint.scheduler),
        "transformer": checkpoint.transformer,
        "transformer_2": checkpoint.transformer_2,
    }
    return WanPipeline(**parts, **{name: index[name] for name in ("boundary_ratio", "expand_timesteps")})


def main() -> None:
    """Write one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=[name for name in MODELS if name != "a14b"], required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true", help="a few channels wide")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = random_checkpoint(
        options.model, device=device, dtype=torch.bfloat16, kept=torch.device("cpu"), tiny=options.tiny
    )
    pipeline_of(made, random_configs(options.model).index).save_pretrained(options.out, max_shard_size="4GB")


if __name__ == "__main__":
    main()
