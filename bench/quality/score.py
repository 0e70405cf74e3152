"""Readings to scores: value, ceiling and floor of every head, in per cent.

Owns what counts as right and on which prompts. Does not know pixels or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.judges.labels import HEADS
from bench.quality.measure import FIRST, LAST, SECOND, Measured
from bench.quality.prompts import Prompt

_OF_THE_SUBJECT = ("subject", "colour", "count")
_TRAVELS = ("left", "right", "rise")

Scores = dict[str, dict[str, float | int | None]]


def scores(
    prompts: Sequence[Prompt],
    made: Mapping[int, Measured],
    best: Mapping[int, Measured],
    windows: Sequence[str] = (FIRST, SECOND),
    *,
    may_leave: bool = True,
) -> Scores:
    """Share of right answers by head.

    Args:
        made: readings of clips by index of the prompt; prompts without one are not scored.
        best: readings of the prompts' own scenes through the autoencoder; the ceiling is taken over these.
        windows: which a clip's answer is read from.
        may_leave: False leaves out kind, colour and number of a subject that travels through the frame: where it is
            late in a clip is its own affair.

    Returns:
        By head: value, ceiling, floor (what the clips would score for other prompts' words) and n, the prompts that
        say something of this head; None where there is nothing to score.
    """
    found: Scores = {}
    for head in HEADS:

        def counts(index: int, head: str = head) -> bool:
            prompt = prompts[index]
            gone = not may_leave and head in _OF_THE_SUBJECT and prompt.scene.motion in _TRAVELS
            return head in prompt.truth and not gone

        rows = [index for index in made if counts(index)]
        answers = [(prompts[index].truth[head], made[index].answer(head, windows)) for index in rows]
        top = [(prompts[index].truth[head], best[index].answer(head, windows)) for index in best if counts(index)]
        found[head] = {"value": _share(answers), "ceiling": _share(top), "floor": _shuffled(answers), "n": len(rows)}
    return found


def late_scores(
    prompts: Sequence[Prompt], made: Mapping[int, Measured], best: Mapping[int, Measured]
) -> dict[str, Scores]:
    """`first_second` and `last_second` of the long clips, on the same prompts."""
    long = {index: clip for index, clip in made.items() if LAST in clip.log_probabilities}
    top = {index: clip for index, clip in best.items() if LAST in clip.log_probabilities}
    named = {"first_second": (FIRST,), "last_second": (LAST,)}
    return {name: scores(prompts, long, top, windows, may_leave=False) for name, windows in named.items()}


def seam_ratio(made: Mapping[int, Measured]) -> float | None:
    """Change at the borders of blocks, over change between latents inside them; 1 means that no seam shows."""
    border, inside = (sum(getattr(clip, name) for clip in made.values()) for name in ("border_change", "inside_change"))
    return round(border / inside, 4) if border and inside else None


def mean_of(clips: Mapping[int, Measured], name: str) -> float | None:
    """Mean of one number over clips."""
    return round(sum(getattr(clip, name) for clip in clips.values()) / len(clips), 4) if clips else None


def obedience(prompts: Sequence[Prompt], made: Mapping[int, Measured]) -> float:
    """Per cent of all that the prompts say that their clips show: one number for comparing settings."""
    right = [clip.answer(head) == value for i, clip in made.items() for head, value in prompts[i].truth.items()]
    return percent(right)


def percent(right: Sequence[bool]) -> float:
    """How many of these are right, in per cent."""
    return round(100.0 * sum(right) / len(right), 2)


def rows(prompts: Sequence[Prompt], made: Mapping[int, Measured]) -> list[dict[str, Any]]:
    """One row a prompt: what was seen where it is not what was said."""
    return [
        {
            "text": prompts[index].text,
            "wrong": {
                head: clip.answer(head) for head, value in prompts[index].truth.items() if clip.answer(head) != value
            },
        }
        for index, clip in sorted(made.items())
    ]


def _share(answers: Sequence[tuple[str, str]]) -> float | None:
    return percent([said == seen for said, seen in answers]) if answers else None


def _shuffled(answers: Sequence[tuple[str, str]]) -> float | None:
    """The share if every clip were scored with the words of another prompt: the mean over all ways to pair them."""
    n = len(answers)
    if n < 2:
        return None
    said, seen = Counter(a for a, _ in answers), Counter(b for _, b in answers)
    own = sum(a == b for a, b in answers)
    pairs = sum(said[value] * seen[value] for value in said) - own
    return round(100.0 * pairs / (n * (n - 1)), 2)
