"""Rules of the coach about which words a prompt uses.

Owns: piled-up abstract adjectives, style words without a medium, several subjects, conflicts. Each is a function of an
analysed prompt; their word lists are data.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from styles.lexicon import Match, Token, find, word_list
from styles.observation import Observation, removals
from styles.source import Edit
from styles.structure import Analysis, is_modifier, is_noun, is_separator

_MIN_PILE = 2
_MIN_SCATTERED = 3
_MAX_COORDINATED = 2
_SUBJECT_WEIGHT = "1.3"
_ENGLISH_ARTICLES = frozenset(["a", "an", "the"])
_CONJUNCTIONS = frozenset(["和", "与", "跟", "及", "以及", "还有", "、", "and", "&"])
_TRANSITION_WINDOW = 2


def abstract_pile(analysis: Analysis) -> Iterator[Observation]:
    """Abstract adjectives side by side, or three and more in one prompt: none of them anchors anything."""
    concrete = word_list("abstract")["concrete"]
    matches = find(analysis.tokens, concrete.keys())
    piles = [pile for pile in _piles(analysis.tokens, matches) if len(pile) >= _MIN_PILE]
    if not piles and len(matches) >= _MIN_SCATTERED:
        piles = [list(matches)]
    for pile in piles:
        words = [analysis.text[match.start : match.end] for match in pile]
        ranges = _pile_ranges(analysis.tokens, pile)
        instead = list(dict.fromkeys(concrete[match.word] for match in pile))[:2]
        if _anything_left(analysis, ranges):
            edits = removals(analysis, ranges)
        else:
            text = "，".join(instead)
            edits = (Edit(analysis.clauses[0].start, analysis.clauses[-1].end, analysis.with_comma(text)),)
        yield Observation(
            "abstract_pile",
            pile[0].start,
            pile[-1].end,
            f"“{'、'.join(words)}”堆在一起锚定不了任何画面；删去，或写看得见的东西，例如“{instead[0]}”",
            f"“{', '.join(words)}” anchor nothing together; delete them, or write what is seen, such as “{instead[0]}”",
            "replace" if edits[0].text else "reduce",
            edits,
        )


def bare_style(analysis: Analysis) -> Iterator[Observation]:
    """“水墨风” alone names no medium: paper, brush, film or material make a style visible."""
    entries = {word.lower(): entry for entry in word_list("media") for word in entry["styles"]}
    matches = find(analysis.tokens, entries.keys())
    media = {word.lower() for match in matches for word in entries[match.word]["media"]}
    named = {match.word for match in find(analysis.tokens, media)}
    for match in matches:
        entry = entries[match.word]
        # 厚涂笔触 names 笔触 too.
        if any(medium.lower() in word for medium in entry["media"] for word in named):
            continue
        word = analysis.text[match.start : match.end]
        bound = analysis.with_comma(entry["bound"])
        yield Observation(
            "bare_style",
            match.start,
            match.end,
            f"“{word}”没有落到媒介上；写出材质与笔法，例如“{entry['bound']}”",
            f"“{word}” names no medium; write its material and technique, such as “{entry['bound']}”",
            "replace",
            _bound_edits(analysis, match, bound),
        )


def several_subjects(analysis: Analysis) -> Iterator[Observation]:
    """Several subjects of one rank blend into each other; weight says which one leads."""
    lists = word_list("subjects")
    words = {word.lower() for kind in ("people", "animals", "vehicles", "shapes") for word in lists[kind]}
    matches = find(analysis.tokens, words)
    crowded = len({match.word for match in matches}) > _MAX_COORDINATED
    coordinated = [pair for pair in pairwise(matches) if crowded or _are_coordinated(analysis.tokens, *pair)]
    if not coordinated:
        return
    first, last = coordinated[0][0], coordinated[-1][1]
    involved = list(dict.fromkeys(match for pair in coordinated for match in pair))
    if any(analysis.source.is_weighted(match.start, match.end) for match in involved):
        return
    names = list(dict.fromkeys(analysis.text[match.start : match.end] for match in involved))
    weighted = f"({analysis.text[first.start : first.end]}:{_SUBJECT_WEIGHT})"
    yield Observation(
        "several_subjects",
        first.start,
        last.end,
        f"有多个主体（{'、'.join(names)}），容易混在一起；给主角加权，例如“{weighted}”",
        f"several subjects ({', '.join(names)}) tend to blend; weight the main one, such as “{weighted}”",
        "weight",
        (Edit(first.start, first.end, weighted),),
    )


def conflict(analysis: Analysis) -> Iterator[Observation]:
    """Two things that cannot be seen at once, unless the prompt asks for a change from one to the other."""
    for pair, sides in _contradictions(analysis.tokens):
        earlier, later = sorted(sides, key=lambda side: side[0].first)
        if _is_transition(analysis, earlier[0], later[0]):
            continue
        kept, dropped = (analysis.text[side[0].start : side[0].end] for side in (earlier, later))
        yield Observation(
            "conflict",
            later[0].start,
            later[0].end,
            f"“{kept}”与“{dropped}”矛盾（{pair['name_zh']}），只留一个",
            f"“{kept}” and “{dropped}” contradict each other ({pair['name_en']}); keep one",
            "reduce",
            removals(analysis, ((match.first, match.last) for match in later)),
        )


def conflict_sides(tokens: tuple[Token, ...]) -> frozenset[tuple[int, int]]:
    """(pair, side) of every word in a text that stands on a side of a conflict."""
    sides = _sides()
    return frozenset(place for match in find(tokens, sides.keys()) for place in sides[match.word])


def _piles(tokens: tuple[Token, ...], matches: tuple[Match, ...]) -> Iterator[list[Match]]:
    """Matches in groups with nothing but connectors and intensifiers in between."""
    lists = word_list("abstract")
    between = {*lists["connectors"], *lists["intensifiers"]}
    pile: list[Match] = []
    for match in matches:
        if pile and any(token.text.lower() not in between for token in tokens[pile[-1].last : match.first]):
            yield pile
            pile = []
        pile.append(match)
    if pile:
        yield pile


def _pile_ranges(tokens: tuple[Token, ...], pile: list[Match]) -> list[tuple[int, int]]:
    """Token ranges to delete: neighbours with what joins them, intensifiers in front included."""
    intensifiers = word_list("abstract")["intensifiers"]
    ranges: list[tuple[int, int]] = []
    for group in _piles(tokens, tuple(pile)):
        first = group[0].first
        while first > 0 and (tokens[first - 1].text.lower() in intensifiers or tokens[first - 1].text == " "):
            first -= 1
        # A space in front of the first word stays; one behind an intensifier has gone with it.
        while tokens[first].text == " ":
            first += 1
        ranges.append((first, group[-1].last))
    return ranges


def _anything_left(analysis: Analysis, ranges: list[tuple[int, int]]) -> bool:
    gone = {i for first, last in ranges for i in range(first, last)}
    return any(kind and i not in gone for i, kind in enumerate(analysis.kinds))


def _bound_edits(analysis: Analysis, match: Match, bound: str) -> tuple[Edit, ...]:
    """Put the medium in the style word's place, or behind the clause that the style word is an attribute of."""
    clause = analysis.clause_at(match.start)
    if match.last == clause.last:
        if match.first == clause.first:
            return (Edit(match.start, match.end, bound),)
        start = match.start
        while analysis.text[start - 1].isspace():
            start -= 1
        return (Edit(start, match.end, f"{analysis.comma}{bound}"),)
    return (
        *removals(analysis, [(match.first, match.last)]),
        Edit(clause.end, clause.end, f"{analysis.comma}{bound}"),
    )


def _are_coordinated(tokens: tuple[Token, ...], first: Match, second: Match) -> bool:
    between = tokens[first.last : second.first]
    joined = [i for i, token in enumerate(between) if token.text.lower() in _CONJUNCTIONS or is_separator(token)]
    if not joined:
        return False
    plain = all(_is_within_phrase(token) or i in joined for i, token in enumerate(between))
    conjoined = any(between[i].text.lower() in _CONJUNCTIONS for i in joined)
    counted = any(token.tag == "m" for token in between[joined[-1] :])
    return plain and (conjoined or counted)


def _is_within_phrase(token: Token) -> bool:
    return is_noun(token) or is_modifier(token) or token.text.isspace() or token.text.lower() in _ENGLISH_ARTICLES


@cache
def _sides() -> dict[str, tuple[tuple[int, int], ...]]:
    places: dict[str, list[tuple[int, int]]] = {}
    for pair, entry in enumerate(word_list("conflicts")["pairs"]):
        for side, words in enumerate(entry["sides"]):
            for word in words:
                places.setdefault(word.lower(), []).append((pair, side))
    return {word: tuple(found) for word, found in places.items()}


def _contradictions(tokens: tuple[Token, ...]) -> Iterator[tuple[dict[str, str], list[list[Match]]]]:
    """Every pair of which both sides occur, with the words of each side, negated ones left out."""
    sides = _sides()
    negations = word_list("conflicts")["negations"]
    found: dict[tuple[int, int], list[Match]] = {}
    for match in find(tokens, sides.keys()):
        before = match.first - 1
        while before >= 0 and tokens[before].text.isspace():
            before -= 1
        if before >= 0 and tokens[before].text.lower() in negations:
            continue
        for place in sides[match.word]:
            found.setdefault(place, []).append(match)
    for pair, entry in enumerate(word_list("conflicts")["pairs"]):
        both = [found.get((pair, side), []) for side in (0, 1)]
        if all(both):
            yield entry, both


def _is_transition(analysis: Analysis, first: Match, second: Match) -> bool:
    """Whether a word of change stands next to either, or between the two in one clause."""
    near = {*_around(first), *_around(second)}
    if analysis.clause_at(first.start) == analysis.clause_at(second.start):
        near |= set(range(first.first, second.last))
    transitions = word_list("conflicts")["transitions"]
    return any(token.text.lower() in transitions for i, token in enumerate(analysis.tokens) if i in near)


def _around(match: Match) -> range:
    return range(match.first - _TRANSITION_WINDOW, match.last + _TRANSITION_WINDOW)
