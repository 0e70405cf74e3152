"""A WAN checkpoint in diffusers layout, read from a local folder: configurations first, then modules with weights.

Owns reading `model_index.json` and the components (safetensors only, whole or in shards), and saying what is missing.
Does not know backends or block sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase, UMT5EncoderModel

from engines.errors import CheckpointError
from engines.json_file import read_json

_COMPONENTS = {"transformer": "WanTransformer3DModel", "vae": "AutoencoderKLWan", "text_encoder": "UMT5EncoderModel"}
_SECOND = "transformer_2"


@dataclass(frozen=True, slots=True)
class Configs:
    """A checkpoint's configuration files, as they are.

    Attributes:
        folder: where they were read from.
        index: model_index.json.
        transformer, vae, text_encoder: the components' config.json.
        scheduler: scheduler/scheduler_config.json.
        transformer_2: the low-noise expert's config.json; None where there is one transformer.
    """

    folder: Path
    index: dict[str, Any]
    transformer: dict[str, Any]
    vae: dict[str, Any]
    text_encoder: dict[str, Any]
    scheduler: dict[str, Any]
    transformer_2: dict[str, Any] | None = None

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the folders that hold weights."""
        return (*_COMPONENTS, *((_SECOND,) if self.transformer_2 is not None else ()))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The components of one checkpoint, in evaluation mode on the CPU.

    Attributes:
        folder: where it was read from.
        scheduler: the fields of scheduler/scheduler_config.json.
        transformer_2: the low-noise expert, where there are two.
    """

    folder: Path
    tokenizer: PreTrainedTokenizerBase
    text_encoder: UMT5EncoderModel
    transformer: WanTransformer3DModel
    vae: AutoencoderKLWan
    scheduler: dict[str, Any]
    transformer_2: WanTransformer3DModel | None = None


def read_configs(folder: Path) -> Configs:
    """Read the configurations and check that every file of weights is there.

    Raises:
        CheckpointError: a file is missing or damaged, a component is of another class, or weights are not safetensors.
    """
    index = read_json(folder / "model_index.json")
    has_second = (index.get(_SECOND) or [None])[0] is not None
    expected = _COMPONENTS | ({_SECOND: "WanTransformer3DModel"} if has_second else {})
    for name, needed in expected.items():
        found = (index.get(name) or [None, None])[1]
        if found != needed:
            raise CheckpointError(f"{folder.name}: {name} is {found}; needed: {needed}")
        _weight_files(folder, name)
    if has_second and index.get("boundary_ratio") is None:
        raise CheckpointError(f"{folder.name}: model_index.json has {_SECOND} but no boundary_ratio")
    return Configs(
        folder=folder,
        index=index,
        scheduler=read_json(folder / "scheduler" / "scheduler_config.json"),
        **{name: read_json(folder / name / "config.json") for name in expected},
    )


def read_checkpoint(folder: Path, *, dtype: torch.dtype = torch.float32) -> Checkpoint:
    """Read a checkpoint.

    Args:
        folder: a local folder in diffusers layout.
        dtype: of the transformers' and text encoder's weights; diffusers keeps norms and time embedding in float32.

    Raises:
        CheckpointError: as `read_configs`.
    """
    configs = read_configs(folder)
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    first, second = (
        WanTransformer3DModel.from_pretrained(folder / name, torch_dtype=dtype, **options).eval()
        if name in configs.components
        else None
        for name in ("transformer", _SECOND)
    )
    assert first is not None
    return Checkpoint(
        folder=folder,
        tokenizer=AutoTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=dtype, **options).eval(),
        transformer=first,
        vae=AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32, **options).eval(),
        scheduler=configs.scheduler,
        transformer_2=second,
    )


def count_parameters(configs: Configs) -> dict[str, int]:
    """Numbers of weights by component, from the headers of its files alone.

    Raises:
        CheckpointError: a file is cut short or no safetensors.
    """
    counts: dict[str, int] = {}
    for name in configs.components:
        counts[name] = 0
        for path in _weight_files(configs.folder, name):
            try:
                with safe_open(path, framework="pt") as file:
                    shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118 (not a dict)
            except SafetensorError as error:
                raise CheckpointError(f"{configs.folder.name}: {name}/{path.name} is damaged: {error}") from error
            counts[name] += sum(int(torch.Size(shape).numel()) for shape in shapes)
    return counts


def _weight_files(folder: Path, name: str) -> list[Path]:
    """The component's files of weights, every shard that its index names among them."""
    indices = sorted((folder / name).glob("*.safetensors.index.json"))
    if indices:
        shards = sorted(set(read_json(indices[0])["weight_map"].values()))
        for shard in shards:
            if not (folder / name / shard).is_file():
                raise CheckpointError(f"{folder.name}: missing file: {name}/{shard} (of {len(shards)} shards)")
        return [folder / name / shard for shard in shards]
    files = sorted((folder / name).glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{folder.name}: no .safetensors in {name}/ (other formats are not read)")
    return files
