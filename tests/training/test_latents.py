"""What samples of the world say."""

from __future__ import annotations

import re
from pathlib import Path

from transformers import AutoTokenizer

from training.latents import FAINT, SAMPLE_BLOCKS, SAMPLE_LATENTS, Drawings, latents_of, tokenize, weather_tokens

TOKENIZER = Path("assets/embedded/tokenizer")


def test_weather_is_found_in_tokens_of_a_sentence() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    texts = ["雪山前，一只猫，下着雨", "a red ball in the meadow, in the rain", "雪山前，一只猫，下雪"]
    ids, said = tokenize(tokenizer, texts), weather_tokens(tokenizer, texts)
    assert said.shape == ids.shape
    assert set(said.unique().tolist()) == {0.0, 1.0}
    found = [tokenizer.decode(row[where > 0]).strip() for row, where in zip(ids, said, strict=True)]
    assert found == ["下着雨", "in the rain", ""]


def test_faint_weather_is_said_to_be_fine() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    drawing = next(iter(Drawings(tokenizer, seed=1, clips=20, captions=2, far=None, faint=1.0)))
    wet = [number for number, scene in enumerate(drawing.scenes) if scene.weather != "clear"]
    assert 0 < len(wet) < 20
    for number, scene in enumerate(drawing.scenes):
        if number not in wet:
            assert scene.intensity == 1.0
            continue
        assert FAINT[0] <= scene.intensity <= FAINT[1]
        for ids in drawing.token_ids[number].tolist():
            said = tokenizer.decode(ids)
            assert re.search("晴|无风无雨|好天气|万里无云|clear weather|sunny", said), said


def test_blocks_lie_one_behind_the_other() -> None:
    blocks = [latents_of(number) for number in range(SAMPLE_BLOCKS + 1)]
    assert [at.start for at in blocks] == [0, *(at.stop for at in blocks[:-1])]
    assert blocks[0].stop == 1
    assert blocks[-1].stop == SAMPLE_LATENTS
