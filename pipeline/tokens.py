"""How much of a text an encoder reads. Owns the arithmetic of the limit; knows no embedding, and imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Fit:
    """One text against the limit.

    Attributes:
        num_tokens, max_tokens: its tokens and the most that are read, the end token included in both.
        kept_chars: how many of its characters are read, from the first.
    """

    num_tokens: int
    max_tokens: int
    kept_chars: int


def fit(text: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Fit:
    """Count the tokens of `text`, and say where it is cut if they are more than `max_length`."""
    num_tokens = len(tokenizer(text)["input_ids"])
    if num_tokens <= max_length:
        return Fit(num_tokens, max_length, len(text))
    kept = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)["offset_mapping"]
    return Fit(num_tokens, max_length, max(end for _, end in kept))
