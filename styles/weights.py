r"""The weight syntax of prompts: parse, print, and where each literal character stands in the source.

Owns the grammar and nothing else; knows no style, no tokeniser and no embedding.

    text    = { literal | group }
    group   = "(" text [ ":" number ] ")"     weight × number, × 1.1 without one
            | "[" text "]"                    weight ÷ 1.1
    literal = "\" special | any other character
    special = ( ) [ ] : \ and their full-width forms （ ） ［ ］ ：

Full-width brackets, colon and digits mean the same as half-width ones. Nested weights multiply. A colon outside
brackets is a literal colon; inside a round group it introduces the group's number. A backslash in front of anything
that is not special is a backslash.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

from styles.errors import StyleError

MAX_WEIGHT = 3.0
BRACKET_FACTOR = Fraction(11, 10)

_OPEN = {"(": "(", "（": "(", "[": "[", "［": "["}
_CLOSE = {")": "(", "）": "(", "]": "[", "］": "["}
_COLON = frozenset(":：")
_STRUCTURAL = frozenset([*_OPEN, *_CLOSE, "\\"])
_SPECIAL = _STRUCTURAL | _COLON
_PARTNER = {"(": ")", "[": "]"}
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
_BEGINS_WITH_NUMBER = re.compile(r"\s*([0-9０-９]+([.．][0-9０-９]*)?|[.．][0-9０-９]+)\s*")
_ALLOWED_EN = f"a weight is a number above 0 and at most {MAX_WEIGHT:g}"
_ALLOWED_ZH = f"权重是大于 0、不超过 {MAX_WEIGHT:g} 的数字"


@dataclass(frozen=True, slots=True)
class WeightedText:
    """A run of literal text with one weight, 0 < weight <= 3; 1 is unweighted."""

    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class Literal:
    """One literal character: its weight and the half-open source range [start, end) that spells it (2 if escaped)."""

    char: str
    weight: float
    start: int
    end: int


@dataclass(slots=True)
class _Group:
    """An opening bracket while its partner is still to come."""

    kind: str
    start: int
    has_content: bool = False
    factor: Fraction = BRACKET_FACTOR


def parse_weights(text: str) -> tuple[WeightedText, ...]:
    """Parse into runs; neighbours of equal weight are one run, and no run is empty.

    Raises:
        StyleError: malformed syntax; `position` is the character at fault.
    """
    return merge_runs(WeightedText(literal.char, literal.weight) for literal in parse_literals(text))


def parse_literals(text: str) -> tuple[Literal, ...]:
    """Parse into single characters with their source ranges, in source order.

    Raises:
        StyleError: as `parse_weights`.
    """
    factors, characters = _match_brackets(text)
    literals: list[Literal] = []
    # Exact arithmetic: 1.1 nested twice is 1.21, not 1.2100000000000002.
    weights = [Fraction(1)]
    weight = 1.0
    for position, end, char in characters:
        if char:
            literals.append(Literal(char, weight, position, end))
            continue
        if position in factors:
            weights.append(weights[-1] * factors[position])
        else:
            weights.pop()
        weight = float(weights[-1])
        if not 0 < weight <= MAX_WEIGHT:
            raise _error(
                position,
                f"nested brackets multiply to {weight:.4g}; {_ALLOWED_EN}",
                f"嵌套括号相乘得到 {weight:.4g}；{_ALLOWED_ZH}",
            )
    return tuple(literals)


def print_weights(runs: Iterable[WeightedText], digits: int | None = None) -> str:
    """Write runs in the syntax that `parse_weights` reads.

    Without `digits`, `parse_weights(print_weights(runs)) == runs` for every merged tuple of runs. With it, weights
    are rounded to that many significant digits, for people to read.
    """
    pieces: list[str] = []
    for run in runs:
        if run.weight == 1.0:
            pieces.append(_escape(run.text, _STRUCTURAL))
            continue
        number = repr(run.weight) if digits is None else f"{run.weight:.{digits}g}"
        # Through Decimal: the syntax has no exponents.
        pieces.append(f"({_escape(run.text, _SPECIAL)}:{Decimal(number):f})")
    return "".join(pieces)


def merge_runs(runs: Iterable[WeightedText]) -> tuple[WeightedText, ...]:
    """Join neighbours of equal weight; drop empty runs."""
    kept = (run for run in runs if run.text)
    return tuple(
        WeightedText("".join(run.text for run in same), weight)
        for weight, same in groupby(kept, key=lambda run: run.weight)
    )


def multiply(first: float, second: float) -> float:
    """The product of two weights as decimals: 1.5 × 1.1 is 1.65.

    Raises:
        StyleError: the product is not in 0 < w <= 3.
    """
    product = float(Fraction(Decimal(repr(first))) * Fraction(Decimal(repr(second))))
    if not 0 < product <= MAX_WEIGHT:
        raise StyleError(
            f"the weights {first:g} and {second:g} multiply to {product:g}; {_ALLOWED_EN}",
            f"权重 {first:g} 与 {second:g} 相乘得到 {product:g}；{_ALLOWED_ZH}",
        )
    return product


def _match_brackets(text: str) -> tuple[dict[int, Fraction], list[tuple[int, int, str]]]:
    """Pair the brackets.

    Returns the factor of each group by the position of its opening bracket, and (start, end, char) of every literal
    character and bracket in source order; `char` is "" for a bracket.
    """
    factors: dict[int, Fraction] = {}
    characters: list[tuple[int, int, str]] = []
    groups: list[_Group] = []
    position = 0
    while position < len(text):
        char = text[position]
        end = position + 1
        if char in _OPEN:
            if groups:
                groups[-1].has_content = True
            groups.append(_Group(_OPEN[char], position))
            characters.append((position, end, ""))
        elif char in _CLOSE:
            group = _closed(groups, char, position)
            factors[group.start] = group.factor if group.kind == "(" else 1 / BRACKET_FACTOR
            characters.append((position, end, ""))
        elif char in _COLON and groups:
            # The number is read whole; its closing bracket is the next character.
            end = _read_number(text, position, groups[-1])
        else:
            if char == "\\" and text[end : end + 1] in _SPECIAL:
                char = text[end]
                end += 1
            if groups:
                groups[-1].has_content = True
            characters.append((position, end, char))
        position = end
    if groups:
        bracket = text[groups[-1].start]
        raise _error(
            groups[-1].start,
            f"“{bracket}” is never closed; close it, or write “\\{bracket}” for the character itself",
            f"“{bracket}” 没有闭合；请补上右括号，若只想写这个字符请用 “\\{bracket}”",
        )
    return factors, characters


def _closed(groups: list[_Group], char: str, position: int) -> _Group:
    if not groups:
        raise _error(
            position,
            f"“{char}” closes nothing; remove it, or write “\\{char}” for the character itself",
            f"“{char}” 前面没有对应的左括号；请删去，若只想写这个字符请用 “\\{char}”",
        )
    group = groups.pop()
    if group.kind != _CLOSE[char]:
        expected = _PARTNER[group.kind]
        raise _error(
            position,
            f"“{char}” closes the “{group.kind}” of character {group.start + 1}; “{expected}” was expected",
            f"第 {group.start + 1} 个字符的 “{group.kind}” 应由 “{expected}” 闭合，这里却是 “{char}”",
        )
    if not group.has_content:
        raise _error(group.start, "there is no text in these brackets", "括号里没有文字")
    return group


def _read_number(text: str, colon: int, group: _Group) -> int:
    """Set the group's factor from the number behind `colon`; return the position of the closing bracket."""
    if group.kind == "[":
        raise _error(
            colon,
            "a number needs round brackets, as in (word:0.8); write “\\:” for a colon",
            "带数字的权重要用圆括号，例如 (词:0.8)；若只想写冒号请用 “\\:”",
        )
    end = colon + 1
    while end < len(text) and text[end] not in _OPEN and text[end] not in _CLOSE:
        end += 1
    # NFKC turns full-width digits and full stop into ASCII.
    number = unicodedata.normalize("NFKC", text[colon + 1 : end]).strip()
    if not _NUMBER.fullmatch(number):
        begin = _BEGINS_WITH_NUMBER.match(text, colon + 1, end)
        if begin is not None and begin.end() < end:
            raise _error(
                begin.end(),
                f"behind the number {begin[1]:.20} a closing bracket was expected, as in (word:1.3); "
                "write “\\:” for a colon",
                f"数字 {begin[1]:.20} 之后应是右括号，例如 (词:1.3)；若只想写冒号请用 “\\:”",
            )
        raise _error(
            colon + 1 if colon + 1 < len(text) else colon,
            f"a number was expected behind the colon, as in (word:1.3); {_ALLOWED_EN}; write “\\:” for a colon",
            f"冒号后应是数字，例如 (词:1.3)；{_ALLOWED_ZH}；若只想写冒号请用 “\\:”",
        )
    value = Fraction(Decimal(number))
    if not 0 < value <= Fraction(MAX_WEIGHT):
        raise _error(
            colon + 1,
            f"the weight {number:.20} is outside; {_ALLOWED_EN}",
            f"权重 {number:.20} 超出范围；{_ALLOWED_ZH}",
        )
    if end < len(text) and text[end] in _OPEN:
        raise _error(
            end,
            "the number must be the last thing in its brackets",
            "数字必须写在括号的最后",
        )
    group.factor = value
    return end


def _escape(text: str, special: frozenset[str]) -> str:
    return "".join(f"\\{char}" if char in special else char for char in text)


def _error(position: int, message_en: str, message_zh: str) -> StyleError:
    return StyleError(message_en, message_zh, position=position)
