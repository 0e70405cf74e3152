"""Clean latents of a clip on disk, block by block, so that it can go on later from where it ended.

Owns the files (`<first latent>.safetensors`), which blocks are still needed, and what is checked before they are used.
Pixels are never encoded again: keys, values and the decoder's caches are made anew from these latents. Knows no job.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.blocks import Block, Plan
from pipeline.errors import RequestError
from pipeline.spec import Spec

WARM_LATENTS = 24
"""Latents before the end that are kept (with the sink): 4 s. Keys and values of a block reach back one block a layer,
the decoder's caches about as far as this, so that a longer past changes nothing that can be seen."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """One block of the past.

    Attributes:
        block: of the plan, its context cut down to the latents that are still there.
        decoded: whether every block from this one on is there, so that decoding can begin with it.
        latents: clean, float32 [1, C, F, h, w], on the CPU.
        noise_state: of the CPU generator behind this block, uint8 [n].
        seed: that this generator began with.
    """

    block: Block
    decoded: bool
    latents: Tensor
    noise_state: Tensor
    seed: int


class Trail:
    """The latents of one clip.

    Args:
        folder: made at the first block.
        spec: of the checkpoint; its name is kept, and asked for again.
    """

    def __init__(self, folder: Path, spec: Spec) -> None:
        self._folder, self._spec = folder, spec

    def keep(self, block: Block, latents: Tensor, noise_state: Tensor, seed: int) -> None:
        """Write a block's clean latents, whole or not at all, and drop the blocks that nothing needs any more.

        Of a checkpoint that makes a clip in one block nothing is kept, because it cannot go on.

        Raises:
            OSError: the disk refuses.
        """
        if not self._spec.grid.block:
            return
        self._folder.mkdir(exist_ok=True)
        path = self._path(block)
        draft = path.with_suffix(".part")
        tensors = {"latents": latents.float().cpu().contiguous(), "noise_state": noise_state}
        try:
            save_file(tensors, draft, metadata={"model": self._spec.name, "seed": str(seed)})
        except SafetensorError as error:
            raise OSError(f"{path.name} could not be written: {error}") from error
        os.replace(draft, path)
        grid = self._spec.grid
        oldest = block.stop - max(WARM_LATENTS, grid.window)
        for start in self._starts():
            length = grid.first_block if start == 0 else grid.block
            if start >= grid.sink and start + length <= oldest:
                (self._folder / f"{start:06d}.safetensors").unlink()

    def recall(self, plan: Plan, num_frames: int) -> dict[int, Recalled]:
        """The blocks that are there, by their first latent, in order; the last one is where the clip goes on.

        Args:
            num_frames: of the clip that are there already; those behind them are decoded from the latents.

        Raises:
            RequestError: there are none, they begin too late for that, or they are another checkpoint's or size's.
        """
        starts = self._starts()
        blocks = [block for block in plan.blocks if block.start in starts]
        there = {latent for block in blocks for latent in range(block.start, block.stop)}
        gaps = [after.start for before, after in itertools.pairwise(blocks) if before.stop != after.start]
        first = max(gaps, default=blocks[0].start if blocks else 0)
        if not blocks or len(blocks) != len(starts) or first * self._spec.grid.scale_temporal > num_frames:
            raise _unusable("its latents")
        return {block.start: self._read(block, there, plan, block.start >= first) for block in blocks}

    def _read(self, block: Block, there: set[int], plan: Plan, decoded: bool) -> Recalled:
        try:
            with safe_open(self._path(block), framework="pt") as file:
                said = file.metadata()
                latents, noise_state = file.get_tensor("latents"), file.get_tensor("noise_state")
                model, seed = said["model"], int(said["seed"])
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise _unusable("its latents") from error
        if model != self._spec.name:
            raise _unusable(model)
        if tuple(latents.shape) != (1, self._spec.channels, block.num_latents, plan.height, plan.width):
            raise _unusable(f"latents {list(latents.shape)}")
        left = tuple(latent for latent in block.context if latent in there)
        return Recalled(Block(block.start, block.stop, left), decoded, latents, noise_state, seed)

    def _starts(self) -> set[int]:
        return {int(path.stem) for path in self._folder.glob("*.safetensors")}

    def _path(self, block: Block) -> Path:
        return self._folder / f"{block.start:06d}.safetensors"


def _unusable(given: str) -> RequestError:
    return RequestError(
        "continues",
        given,
        "a video of the loaded model, of the same size, whose latents are kept",
        "由当前模型生成、尺寸相同且保留了潜变量的视频",
    )
