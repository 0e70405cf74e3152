"""Words: the lists in `styles/words/` and Chinese segmentation with parts of speech.

Owns the reading of the lists and the one jieba tokenizer, taught the words of the lists. Knows no rule.

Both are loaded at first use and kept; `warm_up` loads them ahead of time (about 1.5 s).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

_WORDS = Path(__file__).with_name("words")
_CJK_FIRST, _CJK_LAST = "\u4e00", "\u9fff"
_MAX_PHRASE_TOKENS = 8
_LIST_NAMES = ("parts", "subjects", "abstract", "vague_numbers", "media", "conflicts", "verbs", "suggestions")


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a text: its half-open range and its part of speech in the ICTCLAS letters that jieba uses."""

    text: str
    tag: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Match:
    """A listed word found in a text: the list's spelling, and its half-open ranges in characters and in tokens."""

    word: str
    start: int
    end: int
    first: int
    last: int


class _Pair(Protocol):
    word: str
    flag: str


class _PosTokenizer(Protocol):
    def cut(self, sentence: str) -> Iterator[_Pair]: ...
    def add_word(self, word: str, freq: int | None, tag: str | None) -> None: ...


def warm_up() -> None:
    """Load the lists and jieba's dictionary now rather than at the first prompt."""
    for name in _LIST_NAMES:
        word_list(name)
    _tokenizer()


@cache
def word_list(name: str) -> Any:
    """The content of `styles/words/<name>.json`; shared by all callers, so read it only."""
    content = json.loads((_WORDS / f"{name}.json").read_text(encoding="utf-8"))
    return MappingProxyType(content) if isinstance(content, dict) else tuple(content)


def segment(text: str) -> tuple[Token, ...]:
    """Split into words; the tokens joined are `text`, spaces and punctuation included."""
    tokens: list[Token] = []
    start = 0
    for pair in _tokenizer().cut(text):
        end = start + len(pair.word)
        # Beside a word that it does not know, jieba guesses its neighbours' tags too: 树 in 几棵树和狗.
        tokens.append(Token(pair.word, _taught_tags().get(pair.word, pair.flag), start, end))
        start = end
    return tuple(tokens)


def find(tokens: tuple[Token, ...], words: Collection[str]) -> tuple[Match, ...]:
    """Listed words in a text, longest first, left to right, never overlapping, case ignored.

    A word is found only where it begins and ends with a token, so that 光 is not found in 风光. `words` are lower case.
    """
    matches: list[Match] = []
    first = 0
    while first < len(tokens):
        match = _longest(tokens, first, words)
        if match is None:
            first += 1
        else:
            matches.append(match)
            first = match.last
    return tuple(matches)


def _longest(tokens: tuple[Token, ...], first: int, words: Collection[str]) -> Match | None:
    joined = ""
    longest: Match | None = None
    for last in range(first, min(first + _MAX_PHRASE_TOKENS, len(tokens))):
        joined += tokens[last].text.lower()
        if joined in words:
            longest = Match(joined, tokens[first].start, tokens[last].end, first, last + 1)
    return longest


@cache
def _tokenizer() -> _PosTokenizer:
    """jieba's tokenizer with part-of-speech tags, taught the words of the lists."""
    with warnings.catch_warnings():
        # jieba 0.42.1 is the last release: its sources have invalid escape sequences, and it imports pkg_resources,
        # which warns, where an old setuptools still has it. Neither can be mended here.
        warnings.simplefilter("ignore")
        import jieba
        from jieba import posseg
    words = cast("Any", jieba).Tokenizer()
    # What its initialize() does, without the cache file in the shared temporary folder that it would trust blindly.
    words.FREQ, words.total = words.gen_pfdict(words.get_dict_file())
    words.initialized = True
    tokenizer = cast("_PosTokenizer", cast("Any", posseg).POSTokenizer(words))
    for tag, listed in _taught():
        for word in listed:
            if all(_CJK_FIRST <= char <= _CJK_LAST for char in word):
                tokenizer.add_word(word, None, tag)
    return tokenizer


@cache
def _taught_tags() -> dict[str, str]:
    return {word: tag for tag, listed in _taught() if tag is not None for word in listed}


def _taught() -> Iterator[tuple[str | None, Iterable[str]]]:
    """Words that jieba does not know or tags wrongly (树 as a verb), with the tag that they should have, if any."""
    parts = word_list("parts")
    for kind in ("scene", "light", "style", "quality", "neutral"):
        yield "n", parts[kind]
    yield "b", parts["colors"]
    yield "f", parts["locatives"]
    for entry in word_list("media"):
        yield None, entry["styles"]
        yield None, entry["media"]
    for pair in word_list("conflicts")["pairs"]:
        for side in pair["sides"]:
            yield None, side
    yield "v", word_list("verbs")["intransitive"]
    yield "a", word_list("abstract")["concrete"]
    for words in word_list("subjects").values():
        yield "n", words
