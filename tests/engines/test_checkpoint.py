"""Reading a checkpoint: what is refused, and in which words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from diffusers import WanTransformer3DModel

from engines.checkpoint import count_parameters, read_checkpoint, read_configs
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


def test_a_missing_shard_is_named(folder: Path) -> None:
    transformer = WanTransformer3DModel.from_pretrained(folder / "transformer")
    for path in (folder / "transformer").glob("*.safetensors"):
        path.unlink()
    transformer.save_pretrained(folder / "transformer", max_shard_size="100KB")
    shards = sorted((folder / "transformer").glob("*.safetensors"))
    assert len(shards) > 1
    assert count_parameters(read_configs(folder))["transformer"] == sum(p.numel() for p in transformer.parameters())
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=rf"missing file: transformer/{shards[1].name} \(of {len(shards)} shards"):
        read_checkpoint(folder)


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = next((folder / "vae").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=f"vae/{path.name} is damaged"):
        count_parameters(read_configs(folder))


def test_two_experts_need_a_boundary(folder: Path) -> None:
    shutil.copytree(folder / "transformer", folder / "transformer_2")
    index = json.loads((folder / "model_index.json").read_text())
    index["transformer_2"] = ["diffusers", "WanTransformer3DModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="transformer_2 but no boundary_ratio"):
        read_checkpoint(folder)
