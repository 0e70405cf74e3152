"""The packed tokenizer keeps its vocabulary and folds what people type differently."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from training import tokenizer
from training.config import TEXT_TOKENS

CAPTIONS = ["一只红色的球从左向右移动", "一只红色的猫,赛博朋克风格", "a red ball moving left", "a blue cat"] * 50


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.pack(tokenizer.train(CAPTIONS, vocab_pieces=120), folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", ["一只红色的猫,赛博朋克风格", "a red ball moving left"])
def test_text_comes_back(packed: PreTrainedTokenizerBase, text: str) -> None:
    ids = packed(text).input_ids
    assert packed.unk_token_id not in ids
    assert packed.decode(ids, skip_special_tokens=True).strip() == text


def test_full_width_and_upper_case_are_folded(packed: PreTrainedTokenizerBase) -> None:
    assert packed("一只红色的猫，赛博朋克风格").input_ids == packed("一只红色的猫,赛博朋克风格").input_ids
    assert packed("A  RED ball").input_ids == packed("a red ball").input_ids


def test_padding_end_and_unknown(packed: PreTrainedTokenizerBase) -> None:
    made = packed("球鼹", padding="max_length", max_length=TEXT_TOKENS, truncation=True)
    assert len(made.input_ids) == TEXT_TOKENS
    assert packed.unk_token_id in made.input_ids
    length = sum(made.attention_mask)
    assert made.input_ids[length - 1] == packed.eos_token_id
    assert set(made.input_ids[length:]) == {packed.pad_token_id} == {0}
    assert packed("").input_ids == [packed.eos_token_id]


def test_no_piece_is_a_whole_chinese_phrase(packed: PreTrainedTokenizerBase) -> None:
    pieces = [piece.strip("▁") for piece in packed.get_vocab()]
    assert all(len(p) <= tokenizer.MAX_HAN_CHARS for p in pieces if p and all("\u4e00" <= c <= "\u9fff" for c in p))
