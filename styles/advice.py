"""The prompt coach: a prompt in, findings with one-click fixes out.

Owns what a finding is and the order of findings. The rules stand in `styles.wording` and `styles.counting` (which
words) and `styles.ordering` (in which order, and what is missing), their word lists in `styles/words/`. It advises and
never blocks: no text makes it raise.

The advice is what is published for WAN and its like: subject + scene + light + style + quality words in this order;
concrete things rather than piled-up adjectives; nouns before verbs; numbers and sizes rather than "some"; a style
named with its medium; one main subject; nothing that contradicts itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from styles.counting import vague_number
from styles.observation import FixKind, Observation, RuleName
from styles.ordering import missing_part, part_order, verb_first
from styles.structure import Analysis, analyse
from styles.wording import abstract_pile, bare_style, conflict, several_subjects

_MAX_FINDINGS_OF_A_RULE = 20
_RULES: tuple[Callable[[Analysis], Iterator[Observation]], ...] = (
    abstract_pile,
    vague_number,
    bare_style,
    several_subjects,
    conflict,
    verb_first,
    part_order,
    missing_part,
)


@dataclass(frozen=True, slots=True)
class Fix:
    """One click.

    Args:
        kind: "reduce" deletes, "replace" rewrites, "weight" emphasises, "add" inserts.
        text: the words that are written, in the weight syntax, to label the button; "" for a deletion.
        prompt: the whole prompt with the fix applied.
    """

    kind: FixKind
    text: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of advice.

    Args:
        rule: which rule; stable, to be used as a key.
        span: half-open range in the prompt as typed, in code points (JavaScript counts UTF-16 units); empty where
            something is missing: the place to insert it.
        message_zh, message_en: one sentence in each language of the UI.
        fix: what one click does.
    """

    rule: RuleName
    span: tuple[int, int]
    message_zh: str
    message_en: str
    fix: Fix


def coach(prompt: str) -> tuple[Finding, ...]:
    """Advice for a prompt: what is wrong with its words first, from left to right, then what is missing.

    At most 20 findings of one rule are given: more would not be read, and a pasted page must not hold up the typing.
    Malformed weight syntax counts as plain text; an empty prompt has no findings.
    """
    analysis = analyse(prompt)
    found = [
        _finding(analysis, observation)
        for rule in _RULES
        for observation in islice(rule(analysis), _MAX_FINDINGS_OF_A_RULE)
    ]
    # Sorting is stable: missing parts stay in the recommended order.
    return tuple(sorted(found, key=lambda f: (f.rule == "missing_part", 0 if f.rule == "missing_part" else f.span[0])))


def _finding(analysis: Analysis, observation: Observation) -> Finding:
    return Finding(
        rule=observation.rule,
        span=analysis.source.span(observation.start, observation.end),
        message_zh=observation.message_zh,
        message_en=observation.message_en,
        fix=Fix(
            kind=observation.fix,
            text=" … ".join(edit.text.strip("，, ") for edit in observation.edits if edit.text),
            prompt=analysis.source.edited(observation.edits),
        ),
    )
