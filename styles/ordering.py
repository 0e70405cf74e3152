"""Rules of the coach about the order of a prompt and about what is missing from it.

Owns: nouns before verbs, the recommended order of parts, missing parts. Each is a function of an analysed prompt; their
word lists and suggestions are data.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from styles.lexicon import Token, find, segment, word_list
from styles.observation import Observation, removals
from styles.source import Edit
from styles.structure import PART_KINDS, PART_NAMES_ZH, Analysis, Clause, PartKind, is_modifier, is_noun
from styles.wording import conflict_sides

_RANK = {kind: rank for rank, kind in enumerate(PART_KINDS)}
_BACKGROUND = frozenset[PartKind](["light", "style", "quality"])


def verb_first(analysis: Analysis) -> Iterator[Observation]:
    """A prompt that opens with an order (“生成…”) or with a verb before its noun (“飞过一只鸟”)."""
    if not analysis.clauses:
        return
    observation = _instruction(analysis) or _verb_before_noun(analysis) or _verb_clause(analysis)
    if observation:
        yield observation


def part_order(analysis: Analysis) -> Iterator[Observation]:
    """Light, style or quality words in clauses before the subject's; the recommended order has them behind it."""
    kinds = [analysis.clause_kinds(clause) for clause in analysis.clauses]
    subject = next((i for i, clause in enumerate(analysis.clauses) if _names_subject(analysis, clause)), 0)
    early = [i for i in range(subject) if kinds[i] and kinds[i] <= _BACKGROUND and not _is_heading(analysis, i)]
    if not early:
        return
    ranks: list[int] = []
    for found in kinds:
        ranks.append(min((_RANK[kind] for kind in found), default=ranks[-1] if ranks else 0))
    clauses = analysis.clauses
    ordered = sorted(range(len(clauses)), key=lambda i: ranks[i])
    first, last = clauses[early[0]], clauses[early[-1]]
    named_zh = "、".join(PART_NAMES_ZH[kind] for kind in PART_KINDS if any(kind in kinds[i] for i in early))
    named_en = ", ".join(kind for kind in PART_KINDS if any(kind in kinds[i] for i in early))
    yield Observation(
        "part_order",
        first.start,
        last.end,
        f"{named_zh}写在了主体前面；推荐顺序：主体、场景、光影、风格、画质",
        f"{named_en} words stand before the subject; the recommended order is subject, scene, light, style, quality",
        "replace",
        (_reordered(analysis, [clauses[i] for i in ordered]),),
    )


def missing_part(analysis: Analysis) -> Iterator[Observation]:
    """Which of subject, scene, light, style and quality a prompt does not have, with words to add."""
    if not analysis.clauses:
        return
    for kind in PART_KINDS:
        if analysis.has(kind):
            continue
        words = _suggestion(analysis, kind)
        position, text = _insertion(analysis, kind, words)
        yield Observation(
            "missing_part",
            position,
            position,
            f"还没有{PART_NAMES_ZH[kind]}；可以补上“{words}”",
            f"no {kind} is named; add, for example, “{words}”",
            "add",
            (Edit(position, position, text),),
        )


def _is_heading(analysis: Analysis, index: int) -> bool:
    """Whether a clause announces the next one, as in “特写：一杯咖啡”."""
    return analysis.text[analysis.clauses[index].end :].lstrip()[:1] in {"：", ":"}


def _names_subject(analysis: Analysis, clause: Clause) -> bool:
    """Whether a clause has a listed or counted subject; any other noun may be a detail of style or light."""
    tokens = analysis.tokens[clause.first : clause.last]
    counted = any(token.tag == "m" for token in tokens) and "subject" in analysis.clause_kinds(clause)
    return counted or bool(find(tokens, _subject_words()))


@cache
def _subject_words() -> frozenset[str]:
    return frozenset(word.lower() for words in word_list("subjects").values() for word in words)


def _instruction(analysis: Analysis) -> Observation | None:
    """“生成一段…的视频”: the model draws what it reads; the order to draw is noise."""
    lists = word_list("verbs")
    clause, tokens = analysis.clauses[0], analysis.tokens
    ordered = _skip(tokens, clause.first, clause.last, [*lists["polite"], *lists["orders"]])
    if ordered == clause.first:
        return None
    counted = _skip(tokens, ordered, clause.last, lists["articles"])
    carried = _skip(tokens, counted, clause.last, lists["carriers"])
    if carried > counted:
        last = _skip(tokens, carried, clause.last, lists["about"])
    elif ordered < clause.last and not _opens_order(tokens[clause.first : ordered], tokens[ordered]):
        return None
    else:
        last = ordered
    end = clause.last
    ranges = [(clause.first, last)]
    if last < end - 1 and tokens[end - 1].text in lists["carriers"] and tokens[end - 2].tag == "uj":
        # In 一段小猫跑步的视频 the count belongs to the video.
        about = _skip(tokens, max(last, counted), end - 2, lists["about"])
        ranges = [(clause.first, about), (end - 2, end)]
    order = analysis.text[clause.start : tokens[last - 1].end].rstrip()
    return Observation(
        "verb_first",
        clause.start,
        clause.start + len(order),
        f"“{order}”是对人说的指令，模型只画它读到的东西；删去，从主体名词写起",
        f"“{order}” is an order to a person; the model draws what it reads: delete it and begin with the subject",
        "reduce",
        removals(analysis, ranges),
    )


def _opens_order(order: tuple[Token, ...], following: Token) -> bool:
    """Whether listed words are an order and not part of a noun (制作精美的瓷器): polite, several, or with a count."""
    lists = word_list("verbs")
    words = [token.text.lower() for token in order if not token.text.isspace()]
    polite = len(words) > 1 or words[0] in lists["polite"]
    return polite or following.tag in {"m", "r"} or following.text.lower() in lists["articles"]


def _verb_before_noun(analysis: Analysis) -> Observation | None:
    """“飞过一只鸟” -> “一只鸟飞过”; “抱着一只猫” has no subject at all."""
    lists = word_list("verbs")
    clause, tokens = analysis.clauses[0], analysis.tokens
    first = _skip(tokens, clause.first, clause.last, lists["adverbs"])
    verb_last = _verb_end(tokens, first, clause.last)
    if verb_last == first or verb_last == clause.last:
        return None
    noun_last = _noun_phrase_end(analysis, verb_last, clause.last)
    if noun_last is None:
        return None
    verb = (tokens[clause.first].start, tokens[verb_last - 1].end)
    noun = (tokens[verb_last].start, tokens[noun_last - 1].end)
    shown = analysis.text[clause.start : noun[1]]
    if tokens[first].text not in lists["intransitive"]:
        agent = lists["agent"]
        return Observation(
            "verb_first",
            clause.start,
            noun[1],
            f"“{shown}”以动词开头，没有说是谁；先写主体，例如“{agent}{shown}”",
            f"“{shown}” opens with a verb and names nobody; begin with the subject, such as “{agent}{shown}”",
            "add",
            (Edit(clause.start, clause.start, agent),),
        )
    turned = analysis.text[noun[0] : noun[1]] + analysis.text[verb[0] : verb[1]]
    return Observation(
        "verb_first",
        clause.start,
        noun[1],
        f"“{shown}”动词在名词前；先写名词，例如“{turned}”",
        f"“{shown}” has its verb before its noun; write the noun first, such as “{turned}”",
        "replace",
        (Edit(verb[0], noun[1], analysis.source.written(*noun) + analysis.source.written(*verb)),),
    )


def _verb_clause(analysis: Analysis) -> Observation | None:
    """“跳舞，一个女孩” -> “一个女孩，跳舞”."""
    if len(analysis.clauses) == 1:
        return None
    lists = word_list("verbs")
    verb, noun = analysis.clauses[:2]
    first = _skip(analysis.tokens, verb.first, verb.last, lists["adverbs"])
    if _verb_end(analysis.tokens, first, verb.last) != verb.last or first == verb.last:
        return None
    end = _noun_phrase_end(analysis, noun.first, noun.last)
    if end is None:
        return None
    shown = analysis.text[verb.start : verb.end]
    subject = analysis.text[noun.start : analysis.tokens[end - 1].end]
    return Observation(
        "verb_first",
        verb.start,
        verb.end,
        f"动作“{shown}”写在了主体前面；先写“{subject}”",
        f"the action “{shown}” stands before its subject; begin with “{subject}”",
        "replace",
        (_reordered(analysis, [noun, verb]),),
    )


def _skip(tokens: tuple[Token, ...], first: int, last: int, words: list[str]) -> int:
    """Past all listed words, and the spaces between them, that [first, last) begins with."""
    while first < last:
        if tokens[first].text.isspace():
            first += 1
            continue
        matches = find(tokens[first:last], words)
        if not matches or matches[0].first != 0:
            break
        first += matches[0].last
    return first


def _verb_end(tokens: tuple[Token, ...], first: int, last: int) -> int:
    """Past a verb and its aspect (奔跑着) at `first`; `first` where there is none that can open a clause.

    A bare verb that is not listed as intransitive is no sign: 流浪猫 and 宣传海报 open with one too.
    """
    lists = word_list("verbs")
    if first >= last or tokens[first].tag not in {"v", "vn"}:
        return first
    end = first + 1
    while end < last and tokens[end].text in lists["aspects"]:
        end += 1
    if tokens[first].text in lists["intransitive"] or end > first + 1:
        return end
    return first


def _noun_phrase_end(analysis: Analysis, first: int, last: int) -> int | None:
    """Past the counted noun phrase that begins at `first` and has a subject in it, or None."""
    if analysis.tokens[first].tag != "m":
        return None
    end: int | None = None
    for i in range(first, last):
        token = analysis.tokens[i]
        if is_noun(token) and analysis.kinds[i] == "subject":
            end = i + 1
        elif not is_modifier(token):
            break
    return end


def _reordered(analysis: Analysis, clauses: list[Clause]) -> Edit:
    """The clauses in a new order, with the separators between their places left where they are."""
    places = sorted(clauses, key=lambda clause: clause.start)
    pieces: list[str] = []
    for i, clause in enumerate(clauses):
        pieces.append(analysis.source.written(clause.start, clause.end))
        if i + 1 < len(places):
            pieces.append(analysis.source.written(places[i].end, places[i + 1].start))
    return Edit(places[0].start, places[-1].end, "".join(pieces))


def _insertion(analysis: Analysis, kind: PartKind, words: str) -> tuple[int, str]:
    """Where a part belongs in the recommended order, and its words with a comma."""
    rank = -1
    position: int | None = None
    for clause in analysis.clauses:
        rank = max((_RANK[found] for found in analysis.clause_kinds(clause)), default=rank)
        if rank <= _RANK[kind] and (rank >= 0 or kind != "subject"):
            position = clause.end
    if position is None:
        return analysis.clauses[0].start, f"{words}{analysis.comma}"
    return position, f"{analysis.comma}{words}"


@cache
def _suggestions(kind: PartKind, language: str) -> tuple[tuple[str, frozenset[tuple[int, int]]], ...]:
    return tuple((words, conflict_sides(segment(words))) for words in word_list("suggestions")[kind][language])


def _suggestion(analysis: Analysis, kind: PartKind) -> str:
    """The first suggestion that contradicts nothing in the prompt; the last one where all do."""
    present = conflict_sides(analysis.tokens)
    candidates = _suggestions(kind, "zh" if analysis.is_chinese else "en")
    fitting = [words for words, sides in candidates if not any((pair, 1 - side) in present for pair, side in sides)]
    return analysis.with_comma((fitting or [candidates[-1][0]])[0])
