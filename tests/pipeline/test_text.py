"""Prompt embeddings: zero behind the last token, and weights that move them."""

from __future__ import annotations

import torch

from pipeline import Model
from pipeline.text import encode_prompt
from pipeline.tokens import fit
from styles import WeightedText


def _encode(model: Model, *runs: tuple[str, float]) -> torch.Tensor:
    weighted = [WeightedText(text, weight) for text, weight in runs]
    return encode_prompt(weighted, model.tokenizer, model.engines.text_encoder, 16)


def test_shape_and_padding(tiny_model: Model) -> None:
    embeds = _encode(tiny_model, ("ab", 1.0))
    length = fit("ab", tiny_model.tokenizer, 16).num_tokens
    assert embeds.shape == (1, 16, 16)
    assert embeds[:, length:].abs().max() == 0
    assert embeds[:, :length].abs().min(dim=-1).values.max() > 0


def test_weight_one_is_the_unweighted_embedding_to_the_bit(tiny_model: Model) -> None:
    assert torch.equal(_encode(tiny_model, ("ab cd", 1.0)), _encode(tiny_model, ("ab ", 1.0), ("cd", 1.0)))


def test_a_weight_moves_its_own_tokens_only(tiny_model: Model) -> None:
    plain = _encode(tiny_model, ("ab ", 1.0), ("cd", 1.0))
    weighted = _encode(tiny_model, ("ab ", 1.0), ("cd", 1.5))
    changed = (plain != weighted).any(dim=-1)[0]
    offsets = tiny_model.tokenizer("ab cd", return_offsets_mapping=True)["offset_mapping"]
    expected = [end > start and end > 3 for start, end in offsets]
    assert changed[: len(expected)].tolist() == expected
    assert not changed[len(expected) :].any()


def test_a_long_prompt_is_cut_at_the_limit(tiny_model: Model) -> None:
    assert _encode(tiny_model, ("字" * 500, 1.0)).shape == (1, 16, 16)
    text = "ab " * 30
    read = fit(text, tiny_model.tokenizer, 16)
    assert read.num_tokens > read.max_tokens == 16
    assert 0 < read.kept_chars < len(text)
    # What is cut has no say, and what is kept has.
    kept = _encode(tiny_model, (text[: read.kept_chars], 1.0))
    assert torch.equal(_encode(tiny_model, (text, 1.0)), kept)
    assert fit(text[: read.kept_chars], tiny_model.tokenizer, 16).num_tokens == 16
    assert fit("ab", tiny_model.tokenizer, 16).kept_chars == 2
