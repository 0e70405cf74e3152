"""A person's mistake names the field and what is allowed, in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import RequestError
from pipeline.request import PromptChange, VideoRequest


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("prompt", {"prompt": ""}),
        ("prompt", {"prompt": "  \n"}),
        ("prompt", {"prompt": "字" * 10_000}),
        ("prompt", {"prompt": 5}),
        ("prompt", {}),
        ("negative_prompt", {"prompt": "猫", "negative_prompt": "x" * 2001}),
        ("style", {"prompt": "猫", "style": None}),
        ("size", {"prompt": "猫", "width": 769}),
        ("size", {"prompt": "猫", "width": 432, "height": 768}),
        ("width", {"prompt": "猫", "width": "768"}),
        ("seconds", {"prompt": "猫", "seconds": 5}),
        ("seconds", {"prompt": "猫", "seconds": 4.0}),
        ("fps", {"prompt": "猫", "fps": 60}),
        ("seed", {"prompt": "猫", "seed": -2}),
        ("seed", {"prompt": "猫", "seed": 2**32}),
        ("seed", {"prompt": "猫", "seed": True}),
        ("guidance_scale", {"prompt": "猫", "guidance_scale": 0.5}),
        ("guidance_scale", {"prompt": "猫", "guidance_scale": float("nan")}),
        ("denoise_strength", {"prompt": "猫", "denoise_strength": 1.1}),
        ("denoise_strength", {"prompt": "猫", "denoise_strength": "0.5"}),
        ("num_inference_steps", {"prompt": "猫", "num_inference_steps": 0}),
        ("num_inference_steps", {"prompt": "猫", "num_inference_steps": 2.5}),
        ("batch_size", {"prompt": "猫", "batch_size": 5}),
        ("cfg", {"prompt": "猫", "cfg": 7}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": {"frame": 5, "prompt": "狗"}}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": ["狗"]}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": 5}]}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": 0, "prompt": "狗"}]}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": 96, "prompt": "狗"}]}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": 5, "prompt": " "}]}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": 5, "prompt": 5}]}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": "5", "prompt": "狗"}]}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": 5, "prompt": "狗"}] * 2}),
        ("prompt_changes", {"prompt": "猫", "prompt_changes": [{"frame": n, "prompt": "狗"} for n in range(1, 34)]}),
    ],
)
def test_mistakes(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        VideoRequest.from_mapping(fields)
    assert caught.value.field == field
    assert field in caught.value.message_en
    assert field in caught.value.message_zh
    assert "允许" in caught.value.message_zh


def test_a_batch_is_clips_with_consecutive_seeds() -> None:
    clips = VideoRequest(prompt="猫", seed=2**32 - 1, batch_size=3).clips()
    assert [clip.seed for clip in clips] == [2**32 - 1, 0, 1]
    assert {clip.batch_size for clip in clips} == {1}


def test_random_seed_becomes_definite() -> None:
    request = VideoRequest(prompt="猫")
    seeds = {request.with_seed().seed for _ in range(8)}
    assert len(seeds) > 1
    assert min(seeds) >= 0


def test_json_round_trip() -> None:
    import json

    request = VideoRequest(prompt="红球", style="Oil Painting", seed=7, guidance_scale=3.5)
    assert VideoRequest.from_mapping(json.loads(request.to_json())) == request
    assert "红球" in request.to_json()


def test_a_change_takes_its_place_among_the_others() -> None:
    import json

    request = VideoRequest(prompt="猫", seconds=2)
    for frame, prompt in ((25, "鱼"), (13, "狗"), (25, "鸟")):
        request = request.with_change(PromptChange(frame, prompt))
    assert request.prompt_changes == (PromptChange(13, "狗"), PromptChange(25, "鸟"))
    assert VideoRequest.from_mapping(json.loads(request.to_json())) == request
