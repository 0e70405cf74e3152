"""The plan: integers only, nothing lost and nothing twice."""

from __future__ import annotations

import itertools

import pytest

from pipeline.blocks import Grid, plan
from pipeline.request import FPS, SECONDS, SIZES, VideoRequest

EMBEDDED = Grid(scale_spatial=16, scale_temporal=4, patch=2, first_block=1, block=3, sink=1, window=3)
WHOLE = Grid(scale_spatial=16, scale_temporal=4, patch=2, first_block=0, block=0, sink=0, window=0)


@pytest.mark.parametrize(("size", "seconds", "fps"), list(itertools.product(SIZES, SECONDS, FPS)))
def test_every_offered_request(size: tuple[int, int], seconds: int, fps: int) -> None:
    request = VideoRequest(prompt="猫", width=size[0], height=size[1], seconds=seconds, fps=fps)
    made = plan(request, EMBEDDED)
    assert made.height % 2 == 0
    assert made.width % 2 == 0
    assert 0 <= made.height * 16 - request.height < 32
    assert 0 <= made.width * 16 - request.width < 32
    latents = [i for block in made.blocks for i in range(block.start, block.stop)]
    assert latents == list(range(len(latents)))
    frames = 1 + 4 * (len(latents) - 1)
    assert request.num_frames <= frames < request.num_frames + 4
    assert {block.num_latents for block in made.blocks[1:]} == {3}


def test_context_is_sink_and_window_without_repeats() -> None:
    blocks = plan(VideoRequest(prompt="猫", seconds=2), EMBEDDED).blocks
    assert [block.context for block in blocks[:4]] == [(), (0,), (0, 1, 2, 3), (0, 4, 5, 6)]


def test_without_block_sizes_the_whole_clip_is_one_block() -> None:
    (block,) = plan(VideoRequest(prompt="猫", seconds=6), WHOLE).blocks
    assert (block.start, block.stop, block.context) == (0, 37, ())


def test_the_last_block_of_a_new_shape() -> None:
    request = VideoRequest(prompt="猫", seconds=4)
    long_window = Grid(scale_spatial=16, scale_temporal=4, patch=2, first_block=8, block=8, sink=8, window=16)
    assert [plan(request, grid).last_new_shape for grid in (EMBEDDED, WHOLE, long_window)] == [2, 0, 3]
