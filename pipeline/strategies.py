"""The one place where a checkpoint's block strategy is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.blocks import Plan
from pipeline.causal import Causal
from pipeline.chained import Chained
from pipeline.decode import Decoder
from pipeline.denoise import Branch, Strategy
from pipeline.spec import Spec


def strategy_of(spec: Spec, plan: Plan, branches: Sequence[Sequence[Branch]], decoder: Decoder) -> Strategy:
    """A strategy for one clip.

    Args:
        branches: of the same clip's `Denoiser`.
        decoder: likewise of this clip; a chained block may be given its last frame.
    """
    match spec.strategy:
        case "causal":
            capacity = max(len(block.context) for block in plan.blocks)
            return Causal([branch for expert in branches for branch in expert], capacity)
        case "chained":
            return Chained(decoder.recode if spec.context == "frame" else None)
