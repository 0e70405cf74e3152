"""The coach's rule about vague numbers: “几棵树” -> “3棵松树，树干直径约40cm”."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from styles.lexicon import word_list
from styles.observation import Observation
from styles.source import Edit
from styles.structure import Analysis, is_modifier, is_noun, is_participle, is_separator


@dataclass(frozen=True, slots=True)
class _Quantifier:
    """A vague number word with its measure word, if any: [start, end) of the plain text, a 的 behind it included."""

    word: str
    measure: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Phrase:
    """What is counted: [start, end), its last noun from `noun_start`."""

    start: int
    noun_start: int
    end: int


def vague_number(analysis: Analysis) -> Iterator[Observation]:
    """A vague number leaves the count and the size open; what cannot be counted (细节, 雾) is left alone."""
    uncountable = word_list("vague_numbers")["uncountable"]
    for quantifier in _quantifiers(analysis):
        phrase = _counted_phrase(analysis, quantifier.end)
        if phrase is None or analysis.text[phrase.noun_start : phrase.end].lower() in uncountable:
            continue
        counted, detail = _concrete(analysis, quantifier, phrase)
        edits = [Edit(quantifier.start, phrase.end, counted)]
        clause_end = analysis.clause_at(quantifier.start).end
        if detail and clause_end == phrase.end:
            edits = [Edit(quantifier.start, phrase.end, f"{counted}{analysis.comma}{detail}")]
        elif detail:
            edits.append(Edit(clause_end, clause_end, f"{analysis.comma}{detail}"))
        vague = analysis.text[quantifier.start : phrase.end]
        shown = f"{counted}，{detail}" if detail else counted
        yield Observation(
            "vague_number",
            quantifier.start,
            phrase.end,
            f"“{vague}”的数量含糊；写出具体数字和大小，例如“{shown}”",
            f"“{vague}” is a vague number; give a number and a size, such as “{shown}”",
            "replace",
            tuple(edits),
        )


def _concrete(analysis: Analysis, quantifier: _Quantifier, phrase: _Phrase) -> tuple[str, str]:
    """The phrase with a number, and a size to add; a noun that the person described is not exchanged."""
    lists = word_list("vague_numbers")
    number = lists["numbers"][quantifier.word.lower()]
    counted = analysis.text[phrase.start : phrase.end]
    if quantifier.word.isascii():
        return f"{number} {counted}", ""
    known = lists["concrete"].get(analysis.text[phrase.noun_start : phrase.end], {})
    measure = quantifier.measure or known.get("measure") or _measure_of(analysis.text[phrase.noun_start : phrase.end])
    if known and phrase.start == phrase.noun_start:
        return f"{number}{measure}{known['noun']}", known["detail"]
    return f"{number}{measure}{counted}", ""


def _measure_of(noun: str) -> str:
    """The measure word of a noun that is not listed with one of its own."""
    lists, subjects = word_list("vague_numbers"), word_list("subjects")
    kinds = (kind for kind in lists["measure_of"] if noun in subjects[kind])
    return lists["measure_of"].get(next(kinds, ""), lists["default_measure"])


def _quantifiers(analysis: Analysis) -> Iterator[_Quantifier]:
    """Quantifiers that begin with a word and do not end inside another, but for 几辆车 taken as one word."""
    ends = {token.end for token in analysis.tokens}
    position = 0
    for token in analysis.tokens:
        match = _pattern().match(analysis.text, token.start) if token.start >= position else None
        if match and (match.end() in ends or token.end > match.end()):
            position = match.end()
            word = match["measured"] or match["bare"] or match["english"]
            yield _Quantifier(word, match["measure"] or match["maybe"] or "", match.start(), match.end())


@cache
def _pattern() -> re.Pattern[str]:
    lists = word_list("vague_numbers")
    words = sorted(lists["numbers"], key=len, reverse=True)
    needing = [word for word in words if word in lists["need_measure"]]
    bare = [word for word in words if word not in needing and not word.isascii()]
    english = [word for word in words if word.isascii()]
    measure = f"[{''.join(lists['measures'])}]"
    return re.compile(
        rf"(?P<measured>{'|'.join(needing)})(?P<measure>{measure})的?"
        rf"|(?P<bare>{'|'.join(bare)})(?P<maybe>{measure})?的?"
        rf"|(?P<english>{'|'.join(english)})\b ?",
        re.IGNORECASE,
    )


def _counted_phrase(analysis: Analysis, position: int) -> _Phrase | None:
    """The noun phrase that begins at `position`, or None where a verb or a separator comes first."""
    neutral = word_list("parts")["neutral"]
    phrase: _Phrase | None = None
    for token in analysis.tokens:
        if token.end <= position:
            continue
        # Words without a role (从右到左, of) end the phrase; a Chinese one may be all that is counted (很多照片).
        ends = token.text.lower() in neutral and (phrase is not None or token.text.isascii())
        if is_separator(token) or ends or is_participle(token):
            break
        if is_noun(token):
            phrase = _Phrase(position, max(token.start, position), token.end)
        elif not is_modifier(token) and not token.text.isspace():
            break
    return phrase
