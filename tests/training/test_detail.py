"""What is compared of latents."""

from __future__ import annotations

import random

import pytest
import torch

from training.detail import detail, scenes_with
from training.wording import weather_spans


def test_detail_is_of_each_latent_and_not_of_what_changes_slowly() -> None:
    torch.manual_seed(0)
    fine = torch.randn(2, 3, 1, 32, 32)
    slow = torch.linspace(-5, 5, 32).expand(2, 3, 1, 32, 32)
    of_noise, of_half, of_slope = detail(torch.cat([fine, 0.5 * fine, slow], 2))
    assert of_half == pytest.approx(0.5 * of_noise, abs=2e-3)
    assert of_noise > 0.8
    assert of_slope < 0.1 * of_noise


def test_scenes_have_the_weather_and_their_captions_say_it() -> None:
    for scene, text in scenes_with("rain", 3, random.Random(0)):
        assert scene.weather == "rain"
        assert {name for *_, name in weather_spans(text)} == {"rain"}
