"""What a prompt is made of: its clauses, and which words are subject, scene, light, style and quality.

Owns the analysis that the coach's rules share. Knows no rule. Chinese is analysed by words and parts of speech; for
English only the word lists serve, so there the parts are approximate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal, cast, get_args

from styles.lexicon import Token, find, segment, word_list
from styles.source import Source

PartKind = Literal["subject", "scene", "light", "style", "quality"]
PART_KINDS: tuple[PartKind, ...] = get_args(PartKind)  # in the recommended order
PART_NAMES_ZH: dict[PartKind, str] = {
    "subject": "主体",
    "scene": "场景",
    "light": "光影",
    "style": "风格",
    "quality": "画质",
}

SEPARATORS = frozenset("，,。;；、\n\r！!？?|：:.…")
_MODIFIER_TAGS = frozenset(["m", "mq", "q", "a", "ag", "ad", "b", "z", "uj", "nz"])
_PLACE_TAGS = frozenset(["s", "ns", "t"])


@dataclass(frozen=True, slots=True)
class Part:
    """A run of words with one role; `span` is its half-open range in the prompt as typed, in code points."""

    kind: PartKind
    span: tuple[int, int]
    text: str

    @property
    def kind_zh(self) -> str:
        """The role in Chinese: 主体, 场景, 光影, 风格 or 画质."""
        return PART_NAMES_ZH[self.kind]


@dataclass(frozen=True, slots=True)
class Clause:
    """What stands between two separators, without spaces around it: half-open ranges in tokens and in characters."""

    first: int
    last: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """One prompt, analysed. `kinds` has one role, or None, a token; ranges are those of the plain text."""

    source: Source
    tokens: tuple[Token, ...]
    clauses: tuple[Clause, ...]
    kinds: tuple[PartKind | None, ...]

    @property
    def text(self) -> str:
        """The prompt without its weight syntax."""
        return self.source.plain

    @property
    def is_chinese(self) -> bool:
        """Whether there is a Chinese character in it."""
        return any("\u4e00" <= char <= "\u9fff" for char in self.text)

    @property
    def comma(self) -> str:
        """The comma that this person uses."""
        if "，" in self.text:
            return "，"
        if "," in self.text:
            return ", " if ", " in self.text else ","
        return "，" if self.is_chinese else ", "

    def with_comma(self, text: str) -> str:
        """Listed words with this person's comma in the place of the list's."""
        return text.replace("，", self.comma)

    def clause_at(self, position: int) -> Clause:
        """The clause in which a character that is no separator stands."""
        return next(clause for clause in self.clauses if clause.start <= position < clause.end)

    def has(self, kind: PartKind) -> bool:
        """Whether any word has this role."""
        return kind in self.kinds

    def clause_kinds(self, clause: Clause) -> frozenset[PartKind]:
        """The roles that occur in a clause."""
        return frozenset(kind for kind in self.kinds[clause.first : clause.last] if kind)


def analyse(prompt: str) -> Analysis:
    """Analyse a prompt; malformed weight syntax counts as plain text."""
    source = Source(prompt)
    tokens = segment(source.plain)
    return Analysis(source, tokens, _clauses(tokens), _kinds(tokens))


def parts(prompt: str) -> tuple[Part, ...]:
    """The parts of a prompt in its order, for coloured chips; never raises for any text."""
    analysis = analyse(prompt)
    found: list[Part] = []
    for first, last in _part_ranges(analysis):
        start, end = analysis.tokens[first].start, analysis.tokens[last - 1].end
        kind = analysis.kinds[last - 1]
        if kind is not None:
            found.append(Part(kind, analysis.source.span(start, end), analysis.text[start:end]))
    return tuple(found)


def is_separator(token: Token) -> bool:
    """Whether a token ends a clause; a point inside a number is part of its token and does not."""
    return token.text[0] in SEPARATORS


def is_noun(token: Token) -> bool:
    """Whether a token is a noun, or a word that is not Chinese."""
    return token.tag.startswith("n") or token.tag in {"eng", *_PLACE_TAGS}


def is_modifier(token: Token) -> bool:
    """Whether a token can stand before the noun of its phrase: numerals, measures, adjectives, 的."""
    return token.tag in _MODIFIER_TAGS or _is_english_modifier(token)


def is_participle(token: Token) -> bool:
    """English "pacing", "parked": a guess, good enough for a chip."""
    word = token.text.lower()
    return token.tag == "eng" and word.endswith(("ing", "ed")) and not _is_english_modifier(token)


def _is_english_modifier(token: Token) -> bool:
    return token.text.lower() in word_list("parts")["english_modifiers"]


@cache
def _roles() -> dict[str, str]:
    """Role of every listed word; "" for words that are known to have none."""
    roles: dict[str, str] = {}
    lists = word_list("parts")
    for word in (*word_list("abstract")["concrete"], *lists["neutral"], *lists["english_modifiers"]):
        roles[word.lower()] = ""
    roles.update((word.lower(), "") for word in word_list("verbs")["orders"] if word.isascii())
    # Later lists win: 倒影 binds a style to its medium, but is light.
    for entry in word_list("media"):
        roles.update(dict.fromkeys((word.lower() for word in (*entry["styles"], *entry["media"])), "style"))
    for kind in PART_KINDS[1:]:
        roles.update(dict.fromkeys((word.lower() for word in lists[kind]), kind))
    for words in word_list("subjects").values():
        roles.update(dict.fromkeys((word.lower() for word in words), "subject"))
    return roles


def _clauses(tokens: tuple[Token, ...]) -> tuple[Clause, ...]:
    ends = [-1, *(i for i, token in enumerate(tokens) if is_separator(token)), len(tokens)]
    clauses: list[Clause] = []
    for before, last in pairwise(ends):
        inside = [i for i in range(before + 1, last) if not tokens[i].text.isspace()]
        if inside:
            first, last = inside[0], inside[-1] + 1
            clauses.append(Clause(first, last, tokens[first].start, tokens[last - 1].end))
    return tuple(clauses)


def _kinds(tokens: tuple[Token, ...]) -> tuple[PartKind | None, ...]:
    """One role, or None, a token."""
    roles = _roles()
    # "" marks a token that is known to have no role; None one that is still open.
    kinds: list[str | None] = [None] * len(tokens)
    for match in find(tokens, roles.keys()):
        kinds[match.first : match.last] = [roles[match.word]] * (match.last - match.first)
    for i, token in enumerate(tokens):
        if kinds[i] is None and token.tag in _PLACE_TAGS:
            kinds[i] = "scene"
    _mark_places(tokens, kinds)
    for i, token in enumerate(tokens):
        if kinds[i] is None and is_noun(token) and not is_participle(token):
            kinds[i] = "subject"
    return tuple(cast("PartKind", kind) if kind else None for kind in kinds)


def _mark_places(tokens: tuple[Token, ...], kinds: list[str | None]) -> None:
    """Open nouns before a locative (路面上) and behind a preposition of place (在吧台) are scene."""
    locatives = frozenset(word_list("parts")["locatives"])
    prepositions = frozenset(word_list("parts")["place_prepositions"])
    for i, token in enumerate(tokens):
        if token.text in locatives and i and _is_open_place(tokens[i - 1], kinds[i - 1]):
            kinds[i] = "scene"
            before = i - 1
            while before >= 0 and _is_open_place(tokens[before], kinds[before]):
                kinds[before] = "scene"
                before -= 1
        if token.text.lower() in prepositions:
            behind = i + 1
            while behind < len(tokens) and _continues_place(tokens[behind], kinds[behind]):
                if _is_open_place(tokens[behind], kinds[behind]):
                    kinds[behind] = "scene"
                behind += 1


def _is_open_place(token: Token, kind: str | None) -> bool:
    return kind == "scene" or (kind is None and is_noun(token) and not is_participle(token))


def _continues_place(token: Token, kind: str | None) -> bool:
    if is_separator(token) or kind not in {None, "", "scene"}:
        return False
    return is_noun(token) or is_modifier(token) or token.text.isspace() or token.text in {"a", "an", "the"}


def _part_ranges(analysis: Analysis) -> list[tuple[int, int]]:
    """Token ranges of the parts: neighbours of one role joined, modifiers in front of them included."""
    ranges: list[tuple[int, int]] = []
    taken = 0
    i = 0
    while i < len(analysis.tokens):
        if analysis.kinds[i] is None:
            i += 1
            continue
        last = _end_of_part(analysis, i)
        ranges.append((_start_of_part(analysis, i, last, taken), last))
        taken = i = last
    return ranges


def _end_of_part(analysis: Analysis, first: int) -> int:
    """Past the last token of the same role, over 的 and spaces in between."""
    last = first + 1
    for i in range(first + 1, len(analysis.tokens)):
        token = analysis.tokens[i]
        if analysis.kinds[i] == analysis.kinds[first]:
            last = i + 1
        elif analysis.kinds[i] is not None or not (token.tag == "uj" or token.text == " " or is_modifier(token)):
            break
    return last


def _start_of_part(analysis: Analysis, first: int, last: int, taken: int) -> int:
    """Back over numerals, adjectives and 的; behind a 的 over the whole attribute, to the clause's beginning."""
    start = first
    seen_de = any(token.tag == "uj" for token in analysis.tokens[first:last])
    while start > taken:
        token = analysis.tokens[start - 1]
        spaced = token.text == " " and start - 1 > taken and _is_english_modifier(analysis.tokens[start - 2])
        if not (spaced or is_modifier(token) or (seen_de and token.tag[0] not in "pcx")):
            break
        seen_de = seen_de or token.tag == "uj"
        start -= 1
    # A phrase does not begin with 的 or a space.
    while analysis.tokens[start].tag == "uj" or analysis.tokens[start].text.isspace():
        start += 1
    return start
