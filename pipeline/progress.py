"""What the walk tells its caller while it runs. Owns no clock and no state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["text", "denoise", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Sent after each piece of work.

    Attributes:
        stage: the part of the walk that just finished a piece.
        block, num_blocks: the block at work, counted from 0, and how many the clip has.
        step, num_steps: denoising steps done in this block and to do; 0 and 0 outside `denoise`.
        frames: frames finished by this stage so far.
    """

    stage: Stage
    block: int
    num_blocks: int
    step: int
    num_steps: int
    frames: int

    def line(self) -> str:
        """For a log, e.g. "denoise block 2/5 step 3/4"."""
        block = f" block {self.block + 1}/{self.num_blocks}" if self.num_blocks else ""
        done = f" step {self.step}/{self.num_steps}" if self.num_steps else f" frames {self.frames}"
        return f"{self.stage}{block}{done}"


Observe = Callable[[Progress], None]
Stop = Callable[[], bool]
NextPrompt = Callable[[int], str | None]
"""Asked before every block but the first, with the index of its first frame: the prompt from there on, or None."""


def ignore(_: Progress) -> None:
    """An `Observe` that does nothing."""


def never() -> bool:
    """A `Stop` that never stops."""
    return False


def same_prompt(_: int) -> None:
    """A `NextPrompt` that changes nothing."""
