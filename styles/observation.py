"""What a rule of the coach reports, and the edits that rules share.

Ranges here are those of the plain text, without weight syntax; `styles.advice` turns them into the person's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from styles.lexicon import Token
from styles.source import Edit
from styles.structure import Analysis, is_separator

RuleName = Literal[
    "missing_part",
    "abstract_pile",
    "verb_first",
    "vague_number",
    "bare_style",
    "several_subjects",
    "conflict",
    "part_order",
]
FixKind = Literal["reduce", "replace", "weight", "add"]


@dataclass(frozen=True, slots=True)
class Observation:
    """One finding of a rule: the range [start, end) that it speaks of, and the edits that would mend it."""

    rule: RuleName
    start: int
    end: int
    message_zh: str
    message_en: str
    fix: FixKind
    edits: tuple[Edit, ...]


def removals(analysis: Analysis, ranges: Iterable[tuple[int, int]]) -> tuple[Edit, ...]:
    """Edits that delete token ranges, in order, so that what is left still reads well.

    A 的 and spaces behind go too; clauses that are deleted whole take one separator each with them.
    """
    tokens = analysis.tokens
    gone: list[tuple[int, int]] = []
    for first, last in ranges:
        while last < len(tokens) and (tokens[last].text.isspace() or tokens[last].text in {"的", "地"}):
            last += 1
        _join(gone, first, last)
    merged: list[tuple[int, int]] = []
    for first, last in gone:
        _join(merged, *_with_separator(tokens, first, last))
    return tuple(Edit(tokens[first].start, tokens[last - 1].end, "") for first, last in merged)


def _join(ranges: list[tuple[int, int]], first: int, last: int) -> None:
    """Append a range to ordered ones, or widen the last one where they touch."""
    if ranges and first <= ranges[-1][1]:
        ranges[-1] = (ranges[-1][0], max(ranges[-1][1], last))
    else:
        ranges.append((first, last))


def _with_separator(tokens: tuple[Token, ...], first: int, last: int) -> tuple[int, int]:
    """A range that empties its clause, widened over the separator behind it, or before it at the prompt's end.

    No space is left at the prompt's end.
    """
    before = first
    while before > 0 and tokens[before - 1].text.isspace():
        before -= 1
    if before > 0 and not is_separator(tokens[before - 1]):
        return (before if last == len(tokens) else first), last
    if last < len(tokens) and is_separator(tokens[last]):
        last += 1
        while last < len(tokens) and tokens[last].text.isspace():
            last += 1
    elif last == len(tokens):
        first = before
        while first > 0 and (is_separator(tokens[first - 1]) or tokens[first - 1].text.isspace()):
            first -= 1
    return first, last
