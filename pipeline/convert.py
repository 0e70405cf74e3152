"""`python -m pipeline.convert model_bf16.pt OUT --base FOLDER`: LongLive-2.0-5B's weights into the diffusers layout.

Owns the names: WAN's original ones to those of diffusers' `WanTransformer3DModel`. The file is read with
`weights_only=True`, so that it can hold nothing but tensors; what is written is safetensors. Everything but the
transformer (text encoder, tokenizer, autoencoder, scheduler) is the base checkpoint's, which the weights were trained
from. Does not know engines.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from torch import Tensor

from engines.checkpoint import read_configs
from engines.errors import CheckpointError
from pipeline.errors import WanError

# LongLive-2.0-5B as it was trained: blocks of 8 latents; its local attention of 32 counts the sink of 8 and the block
# itself, which leaves a window of 16 before the block. Four steps of UniPC between the levels of WAN's own code.
LONGLIVE: dict[str, Any] = {
    "first_block_latents": 8,
    "block_latents": 8,
    "sink_latents": 8,
    "window_latents": 16,
    "strategy": "causal",
    "num_inference_steps": 4,
    "solver": "unipc",
    "flow_shift": 5.0,
    "sigma_limits": [0.999, 0.0],
    "guidance_scale": 1.0,
    "max_sequence_length": 512,
}
_NAMES = (
    (r"^time_embedding\.0\.", "condition_embedder.time_embedder.linear_1."),
    (r"^time_embedding\.2\.", "condition_embedder.time_embedder.linear_2."),
    (r"^text_embedding\.0\.", "condition_embedder.text_embedder.linear_1."),
    (r"^text_embedding\.2\.", "condition_embedder.text_embedder.linear_2."),
    (r"^time_projection\.1\.", "condition_embedder.time_proj."),
    (r"^head\.modulation$", "scale_shift_table"),
    (r"^head\.head\.", "proj_out."),
    (r"\.modulation$", ".scale_shift_table"),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.(attn[12])\.([qkv])\.", r".\1.to_\2."),
    (r"\.(attn[12])\.o\.", r".\1.to_out.0."),
    (r"\.norm3\.", ".norm2."),  # the only norm with weights; diffusers counts it second
    (r"\.ffn\.0\.", ".ffn.net.0.proj."),
    (r"\.ffn\.2\.", ".ffn.net.2."),
)
_WRAPPERS = ("generator_ema", "generator", "model", "state_dict")
_PREFIXES = ("module.", "model.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")


def main(args: list[str] | None = None) -> int:
    """Convert; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.convert", description=__doc__)
    parser.add_argument("source", type=Path, help="model_bf16.pt")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--base", type=Path, required=True, help="folder of Wan2.2-TI2V-5B-Diffusers")
    options = parser.parse_args(args)
    try:
        convert(options.source, options.out, options.base)
    except (WanError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(options.out)
    return 0


def convert(source: Path, out: Path, base: Path) -> None:
    """Write the checkpoint `out` from the original weights `source` and the rest of `base`.

    Raises:
        CheckpointError: the weights are not this architecture's, or `base` is no checkpoint.
        FileExistsError: `out` is there already.
    """
    configs = read_configs(base)
    transformer = read_transformer(source, configs.transformer)
    out.mkdir(parents=True)
    for name in ("text_encoder", "tokenizer", "vae", "scheduler"):
        shutil.copytree(base / name, out / name)
    transformer.save_pretrained(out / "transformer", max_shard_size="5GB")
    index = configs.index | {"transformer_2": [None, None], "boundary_ratio": None}
    (out / "model_index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    (out / "streaming.json").write_text(json.dumps(LONGLIVE, indent=1) + "\n", encoding="utf-8")


def read_transformer(source: Path, config: Mapping[str, Any]) -> WanTransformer3DModel:
    """The transformer of this configuration with the original weights in the file `source`, in their own precision.

    Raises:
        CheckpointError: the file holds more than tensors, or other tensors than this architecture's.
    """
    try:
        saved: Any = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise CheckpointError(f"{source.name}: not a file of tensors alone: {error}") from error
    weights = renamed(_unwrapped(saved))
    with init_empty_weights():
        transformer = cast(WanTransformer3DModel, WanTransformer3DModel.from_config(dict(config)))
    expected = {name: tuple(tensor.shape) for name, tensor in transformer.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != found:
        wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        shown = ", ".join(f"{n}: {found.get(n, 'missing')}, needed {expected.get(n, 'none')}" for n in wrong[:3])
        raise CheckpointError(f"{source.name}: {len(wrong)} weights do not fit, first {shown}")
    transformer.load_state_dict(weights, assign=True)
    return transformer.eval()


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Original names to diffusers' names."""
    result: dict[str, Tensor] = {}
    for original, tensor in weights.items():
        name = original
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    return result


def _unwrapped(saved: Any) -> dict[str, Tensor]:
    """The tensors inside the dictionaries and prefixes that training code wraps them in."""
    while isinstance(saved, dict) and (wrapper := next((name for name in _WRAPPERS if name in saved), None)):
        saved = saved[wrapper]
    result: dict[str, Tensor] = {}
    for original, tensor in saved.items():
        name = original
        while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None):
            name = name.removeprefix(prefix)
        result[re.sub("|".join(map(re.escape, _PREFIXES[2:])), "", name)] = tensor
    return result


if __name__ == "__main__":
    sys.exit(main())
