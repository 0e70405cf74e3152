"""From a request to a plan of latent blocks. Pure arithmetic on integers; knows no tensor.

WAN's VAE turns 1 + t * n frames into 1 + n latents (t = 4 frames a latent) and 16 x 16 pixels into one latent cell; the
transformer's patches want an even grid. What is asked for is rounded up to that, generated, and cut to size again.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.request import VideoRequest


@dataclass(frozen=True, slots=True)
class Grid:
    """How a checkpoint cuts pixels and latents.

    Attributes:
        scale_spatial: pixels along the side of one latent cell.
        scale_temporal: frames of every latent but the first, which is one frame.
        patch: latent cells along the side of one token.
        first_block, block: latents of the first and of every later block; 0 means the whole clip at once.
        sink, window: latents of context: the clip's first ones and the last ones before the block.
    """

    scale_spatial: int
    scale_temporal: int
    patch: int
    first_block: int
    block: int
    sink: int
    window: int


@dataclass(frozen=True, slots=True)
class Block:
    """Latents denoised together: `start` … `stop` - 1 of the clip, attending to `context` (latent indices)."""

    start: int
    stop: int
    context: tuple[int, ...]

    @property
    def num_latents(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Plan:
    """One clip: a latent grid of `height` x `width`, its blocks, and what is cut off at the end."""

    height: int
    width: int
    blocks: tuple[Block, ...]
    num_frames: int
    frame_height: int
    frame_width: int

    @property
    def last_new_shape(self) -> int:
        """Index of the last block of a shape, latents and latents of context, that no block before it has."""
        shapes = [(block.num_latents, len(block.context)) for block in self.blocks]
        return max(shapes.index(shape) for shape in shapes)


def plan(request: VideoRequest, grid: Grid) -> Plan:
    """Lay out the blocks of a request; the last one may make frames beyond `num_frames`, which are trimmed."""
    cell = grid.scale_spatial * grid.patch
    num_latents = 1 + -(-(request.num_frames - 1) // grid.scale_temporal)
    blocks = [_block(grid, 0, grid.first_block or num_latents)]
    while blocks[-1].stop < num_latents:
        blocks.append(_block(grid, blocks[-1].stop, blocks[-1].stop + grid.block))
    return Plan(
        height=-(-request.height // cell) * grid.patch,
        width=-(-request.width // cell) * grid.patch,
        blocks=tuple(blocks),
        num_frames=request.num_frames,
        frame_height=request.height,
        frame_width=request.width,
    )


def _block(grid: Grid, start: int, stop: int) -> Block:
    window = range(max(start - grid.window, 0), start)
    sink = range(min(grid.sink, start))
    return Block(start, stop, tuple(sorted({*sink, *window})))
