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

_PARTICLES = frozenset("的地")


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
        while last < len(tokens) and (tokens[last].text.isspace() or tokens[last].text in _PARTICLES):
            last += 1
        if gone and first <= _next_word(tokens, gone[-1][1]) and _begins_clause(tokens, gone[-1][0]):
            gone[-1] = (gone[-1][0], last)
        elif gone and first <= gone[-1][1]:
            gone[-1] = (gone[-1][0], max(gone[-1][1], last))
        else:
            gone.append((first, last))
    widened = [_widened(tokens, first, last) for first, last in gone]
    return tuple(Edit(tokens[first].start, tokens[last - 1].end, "") for first, last in widened)


def _widened(tokens: tuple[Token, ...], first: int, last: int) -> tuple[int, int]:
    """A range with what it would leave dangling: a separator of an emptied clause, a 的 or spaces at a clause's end."""
    if _begins_clause(tokens, first):
        if last == len(tokens):
            while first > 0 and _is_gap(tokens[first - 1]):
                first -= 1
        elif is_separator(tokens[last]):
            last = _next_word(tokens, last)
    elif last == len(tokens) or is_separator(tokens[last]):
        while first > 0 and (tokens[first - 1].text.isspace() or tokens[first - 1].text in _PARTICLES):
            first -= 1
    return first, last


def _begins_clause(tokens: tuple[Token, ...], first: int) -> bool:
    while first > 0 and tokens[first - 1].text.isspace():
        first -= 1
    return first == 0 or is_separator(tokens[first - 1])


def _next_word(tokens: tuple[Token, ...], index: int) -> int:
    while index < len(tokens) and _is_gap(tokens[index]):
        index += 1
    return index


def _is_gap(token: Token) -> bool:
    return is_separator(token) or token.text.isspace()
