"""Reading a checkpoint: what is refused, and in which words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engines.checkpoint import read_checkpoint
from engines.errors import CheckpointError


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def test_missing_index(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        read_checkpoint(tmp_path)


def test_wrong_class(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["transformer"] = ["diffusers", "FluxTransformer2DModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="FluxTransformer2DModel; needed: WanTransformer3DModel"):
        read_checkpoint(folder)


def test_only_safetensors(folder: Path) -> None:
    weights = next((folder / "vae").glob("*.safetensors"))
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match=r"no \.safetensors in vae/"):
        read_checkpoint(folder)


def test_broken_json(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not JSON"):
        read_checkpoint(folder)
