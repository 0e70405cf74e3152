"""What a checkpoint says of itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline import Model, load_model
from pipeline.blocks import Grid
from pipeline.errors import CheckpointError


def test_spec_of_a_block_causal_checkpoint(tiny_model: Model) -> None:
    assert tiny_model.spec.grid == Grid(
        scale_spatial=16, scale_temporal=4, patch=2, first_block=1, block=3, sink=1, window=3
    )
    assert tiny_model.spec.num_inference_steps == 2
    assert tiny_model.spec.max_sequence_length == 16
    assert tiny_model.backend == tiny_model.engines.label


def test_a_checkpoint_without_streaming_json_is_one_block_with_its_own_shift(whole_clip_folder: Path) -> None:
    spec = load_model(whole_clip_folder, backend="torch").spec
    assert spec.grid.first_block == 0
    assert (spec.num_inference_steps, spec.guidance_scale, spec.flow_shift) == (50, 5.0, 3.0)


def test_unknown_streaming_key_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
    path = folder / "streaming.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"blok_latents": 3}))
    with pytest.raises(CheckpointError, match="blok_latents"):
        load_model(folder)


def test_missing_folder_says_so() -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        load_model("./nowhere")
