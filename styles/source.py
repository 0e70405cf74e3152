"""A prompt as a person typed it, seen through its weight syntax.

Owns the way between the plain text that rules read and the source with its brackets: where a plain range stands, and
what the source is after an edit. Knows no rule and no word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from styles.errors import StyleError
from styles.weights import Literal, WeightedText, merge_runs, parse_literals, parse_weights, print_weights

_CLOSERS = ")）]］"


@dataclass(frozen=True, slots=True)
class Edit:
    """Put `text`, written in the weight syntax, in the place of the plain range [start, end)."""

    start: int
    end: int
    text: str


class Source:
    """One prompt. With malformed weight syntax every character counts as literal, so that advice never stops."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._literals = parse_literals(text)
        except StyleError:
            self._literals = tuple(Literal(char, 1.0, i, i + 1) for i, char in enumerate(text))
        self.plain = "".join(literal.char for literal in self._literals)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The source range of the plain range [start, end); an empty one is the place where text would be inserted."""
        if start == end:
            place = self._insertion_place(start)
            return place, place
        return self._literals[start].start, self._literals[end - 1].end

    def is_weighted(self, start: int, end: int) -> bool:
        """Whether any character of the plain range [start, end) has a weight other than 1."""
        return any(literal.weight != 1.0 for literal in self._literals[start:end])

    def written(self, start: int, end: int) -> str:
        """The plain range [start, end) in the weight syntax, to be put elsewhere."""
        if self.plain == self.text:
            return self.text[start:end]
        return print_weights(merge_runs(self._runs(start, end)))

    def edited(self, edits: Iterable[Edit]) -> str:
        """The source after edits, which do not overlap.

        The person's own brackets are kept where they still hold text; where an edit empties a pair of them or cuts
        through one, all weights are printed anew, each character keeping its own.
        """
        ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
        spliced = self._spliced(ordered)
        if self.plain == self.text:
            return spliced
        runs = merge_runs(self._edited_runs(ordered))
        try:
            kept = "".join(run.text for run in parse_weights(spliced))
        except StyleError:
            return print_weights(runs)
        return spliced if kept == "".join(run.text for run in runs) else print_weights(runs)

    def _runs(self, start: int, end: int) -> Iterable[WeightedText]:
        return (WeightedText(literal.char, literal.weight) for literal in self._literals[start:end])

    def _insertion_place(self, position: int) -> int:
        """Between two characters, behind the brackets that close after the first and before those that open."""
        if position == 0:
            return 0
        if position == len(self._literals):
            return len(self.text)
        start, end = self._literals[position - 1].end, self._literals[position].start
        closed = [i + 1 for i in range(start, end) if self.text[i] in _CLOSERS]
        return closed[-1] if closed else start

    def _spliced(self, edits: list[Edit]) -> str:
        pieces: list[str] = []
        position = 0
        for edit in edits:
            place = self.span(edit.start, edit.end)[0]
            pieces += [self.text[position:place], edit.text]
            position = max(position, place)
            for literal in self._literals[edit.start : edit.end]:
                pieces.append(self.text[position : literal.start])
                position = literal.end
        return "".join([*pieces, self.text[position:]])

    def _edited_runs(self, edits: list[Edit]) -> Iterable[WeightedText]:
        position = 0
        for edit in edits:
            yield from self._runs(position, edit.start)
            runs = parse_weights(edit.text)
            if edit.start < edit.end and all(run.weight == 1.0 for run in runs):
                # Unweighted words in the place of a phrase take the weight of its last word, its noun in Chinese.
                runs = tuple(WeightedText(run.text, self._literals[edit.end - 1].weight) for run in runs)
            yield from runs
            position = edit.end
        yield from self._runs(position, len(self._literals))
