"""Where a style meets a prompt: the template filled in, with weights.

Owns the insertion and the weighting of the style's words. Does not know tokens or embeddings: what a weight does to
them belongs to `pipeline.text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from styles.errors import StyleError
from styles.style import PLACEHOLDER, Style
from styles.weights import WeightedText, merge_runs, multiply, parse_weights, print_weights

_SHOWN_DIGITS = 3
_SEPARATOR = WeightedText(", ", 1.0)


@dataclass(frozen=True, slots=True)
class StyledPrompt:
    """The final prompt as runs of text with one weight each; the runs joined are the text that is tokenised."""

    positive: tuple[WeightedText, ...]
    negative: tuple[WeightedText, ...]

    @property
    def prompt(self) -> str:
        """The positive text as it is tokenised, without weights."""
        return "".join(run.text for run in self.positive)

    @property
    def negative_prompt(self) -> str:
        """The negative text as it is tokenised, without weights."""
        return "".join(run.text for run in self.negative)

    @property
    def display(self) -> str:
        """The positive text with its weights drawn, to three significant digits."""
        return print_weights(self.positive, _SHOWN_DIGITS)

    @property
    def negative_display(self) -> str:
        """The negative text with its weights drawn, to three significant digits."""
        return print_weights(self.negative, _SHOWN_DIGITS)


def apply(prompt: str, style: Style | None, negative_prompt: str = "") -> StyledPrompt:
    """Parse the weights of `prompt`, insert it into the style's template, and weight the style's words.

    The weights of a template multiply with those of the prompt inside it. A person's negative words stand before the
    style's, so that theirs survive if the encoder's limit cuts the end.

    Raises:
        StyleError: malformed weights, with `field` "prompt" or "negative_prompt" and the position in that text, or a
            product of weights that is out of range.
    """
    words = _parse(prompt, "prompt")
    avoided = _parse(negative_prompt, "negative_prompt")
    if style is None:
        return StyledPrompt(words, avoided)
    also_avoided = parse_weights(style.negative_prompt)
    separator = (_SEPARATOR,) if avoided and also_avoided else ()
    return StyledPrompt(
        positive=merge_runs(_filled(words, style)),
        negative=merge_runs((*avoided, *separator, *also_avoided)),
    )


def _filled(words: tuple[WeightedText, ...], style: Style) -> Iterator[WeightedText]:
    for run in parse_weights(style.prompt):
        for index, piece in enumerate(run.text.split(PLACEHOLDER)):
            if index:
                for word in words:
                    yield WeightedText(word.text, _product(word.weight, run.weight))
            yield from _weighted(WeightedText(piece, run.weight), style)


def _weighted(run: WeightedText, style: Style) -> Iterator[WeightedText]:
    """The style's own words of one run, those that the fusion emphasises with its weight."""
    strong = multiply(run.weight, style.fusion.weight)
    if not style.fusion.emphasis:
        yield WeightedText(run.text, strong)
        return
    longest_first = sorted(style.fusion.emphasis, key=len, reverse=True)
    # The group in the pattern keeps the emphasised pieces, at the odd places.
    for index, piece in enumerate(re.split(f"({'|'.join(map(re.escape, longest_first))})", run.text)):
        yield WeightedText(piece, strong if index % 2 else run.weight)


def _product(word: float, template: float) -> float:
    try:
        return multiply(word, template)
    except StyleError as error:
        raise error.located(field="prompt") from error


def _parse(text: str, field: str) -> tuple[WeightedText, ...]:
    try:
        return parse_weights(text)
    except StyleError as error:
        raise error.located(field=field) from error
