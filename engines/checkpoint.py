"""A WAN checkpoint in diffusers layout, read from a local folder: modules with weights, nothing run yet.

Owns reading `model_index.json` and the four components (safetensors only). Does not know backends or block sizes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import AutoTokenizer, PreTrainedTokenizerBase, UMT5EncoderModel

from engines.errors import CheckpointError

_COMPONENTS = {"transformer": "WanTransformer3DModel", "vae": "AutoencoderKLWan", "text_encoder": "UMT5EncoderModel"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The components of one checkpoint, in evaluation mode on the CPU.

    Attributes:
        folder: where it was read from.
        scheduler: the fields of scheduler/scheduler_config.json.
    """

    folder: Path
    tokenizer: PreTrainedTokenizerBase
    text_encoder: UMT5EncoderModel
    transformer: WanTransformer3DModel
    vae: AutoencoderKLWan
    scheduler: dict[str, Any]


def read_checkpoint(folder: Path, *, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Read a checkpoint.

    Args:
        folder: a local folder in diffusers layout.
        dtype: of the transformer's and text encoder's weights; diffusers keeps norms and time embedding in float32.

    Raises:
        CheckpointError: a file is missing, a component is of another class, or weights are not safetensors.
    """
    index = _read_json(folder / "model_index.json")
    for name, expected in _COMPONENTS.items():
        found = (index.get(name) or [None, None])[1]
        if found != expected:
            raise CheckpointError(f"{folder.name}: {name} is {found}; needed: {expected}")
        if not any((folder / name).glob("*.safetensors")):
            raise CheckpointError(f"{folder.name}: no .safetensors in {name}/ (other formats are not read)")
    scheduler = _read_json(folder / "scheduler" / "scheduler_config.json")
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    return Checkpoint(
        folder=folder,
        tokenizer=AutoTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=dtype, **options).eval(),
        transformer=WanTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=dtype, **options).eval(),
        vae=AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32, **options).eval(),
        scheduler=scheduler,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"missing file: {path.parent.name}/{path.name}") from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path.parent.name}/{path.name} is not JSON: {error}") from None
