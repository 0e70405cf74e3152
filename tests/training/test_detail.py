"""Whose latents are compared."""

from __future__ import annotations

import random

from training.detail import scenes_with
from training.wording import weather_spans


def test_scenes_have_the_weather_and_their_captions_say_it() -> None:
    for scene, text in scenes_with("rain", 3, random.Random(0)):
        assert scene.weather == "rain"
        assert {name for *_, name in weather_spans(text)} == {"rain"}
