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


Observe = Callable[[Progress], None]
Stop = Callable[[], bool]


def ignore(_: Progress) -> None:
    """An `Observe` that does nothing."""


def never() -> bool:
    """A `Stop` that never stops."""
    return False
