"""The shapes that engines are built for are those that the walk asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.checkpoint import read_configs
from engines.errors import CheckpointError
from engines.shapes import FRAME_SIZES, read_shapes
from pipeline.blocks import plan
from pipeline.model import EMBEDDED
from pipeline.request import FPS, SECONDS, SIZES, VideoRequest
from pipeline.spec import read_spec
from tests import tiny

LONGLIVE = tiny.STREAMING | {
    "first_block_latents": 8,
    "block_latents": 8,
    "sink_latents": 8,
    "window_latents": 32,
}


def test_every_offered_size_is_built() -> None:
    assert FRAME_SIZES == SIZES


@pytest.mark.parametrize("streaming", [tiny.STREAMING, LONGLIVE, "embedded"])
def test_every_block_of_every_clip_has_a_shape(tmp_path: Path, streaming: object) -> None:
    folder = EMBEDDED if streaming == "embedded" else tiny.save(tmp_path, streaming=streaming)  # type: ignore[arg-type]
    shapes, grid = read_shapes(folder), read_spec(read_configs(folder)).grid
    asked: set[tuple[int, int]] = set()
    for width, height in SIZES:
        for seconds in SECONDS:
            for fps in FPS:
                planned = plan(VideoRequest(prompt="球", width=width, height=height, seconds=seconds, fps=fps), grid)
                assert (planned.height, planned.width) in shapes.sizes
                asked |= {(block.num_latents, len(block.context)) for block in planned.blocks}
    assert asked <= set(shapes.blocks)


@pytest.mark.parametrize("streaming", [tiny.STREAMING, None])
def test_chained_blocks_attend_to_nothing_cached(tmp_path: Path, streaming: dict[str, object] | None) -> None:
    assert read_shapes(tiny.save(tmp_path, streaming=streaming)).has_context == (streaming is not None)


def test_a_configuration_without_what_is_needed_is_refused(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    (folder / "streaming.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"no .max_sequence_length"):
        read_shapes(folder)
    (folder / "vae" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"missing file: vae/config\.json"):
        read_shapes(folder)
