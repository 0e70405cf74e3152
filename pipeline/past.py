"""What lies behind a clip that goes on from an earlier one, as paths and numbers.

Owns the record that is handed from a job to the walk. Knows no tensor, no box of MP4 and no job; the latents
themselves are `pipeline.trail`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier clip that a new one begins with; its files are never written to again.

    Attributes:
        log: its log: init segment and at least `frames` fragments.
        frames: whole fragments that are taken over; the new clip's first own frame has this index.
    """

    log: Path
    frames: int
