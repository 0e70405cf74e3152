"""Pixels to numbers, and numbers to scores."""

from __future__ import annotations

import math

import pytest
import torch

from bench.judges.labels import HEADS
from bench.judges.network import Judge
from bench.judges.render import to_judge
from bench.quality import score
from bench.quality.measure import (
    FIRST,
    LAST,
    SECOND,
    Measured,
    flicker,
    frechet,
    measure,
    psnr,
    seams,
    sharpness,
    window_starts,
)
from bench.quality.prompts import Prompt
from pipeline.blocks import Grid, plan
from pipeline.request import VideoRequest
from training.scene import Scene

CPU = torch.device("cpu")
GRID = Grid(16, 4, 2, first_block=1, block=3, sink=1, window=3)


def request(seconds: int) -> VideoRequest:
    return VideoRequest(prompt="a", seconds=seconds)


def test_windows_are_whole_and_inside() -> None:
    assert window_starts(48) == {FIRST: 0, SECOND: 26}
    assert window_starts(192) == {FIRST: 0, SECOND: 26, LAST: 170}


def test_seams_are_where_blocks_begin() -> None:
    borders, inside = seams(plan(request(2), GRID), GRID)
    assert borders == [1, 13, 25, 37]
    assert inside == [5, 9, 17, 21, 29, 33, 41, 45]


def clip(jump_at: int | None = None, frames: int = 48) -> torch.Tensor:
    """A grey picture that gets brighter by two levels a frame, and by forty more at one frame."""
    level = 20.0 + 2.0 * torch.arange(frames) + 40.0 * (torch.arange(frames) >= (jump_at or frames))
    return level.round().byte().view(-1, 1, 1, 1).expand(frames, 36, 64, 3).contiguous()


@pytest.mark.parametrize(("jump_at", "border", "inside"), [(None, 2.0, 2.0), (25, 12.0, 2.0), (33, 2.0, 7.0)])
def test_a_jump_shows_where_it_is(jump_at: int | None, border: float, inside: float) -> None:
    judge = Judge((8, 8, 8, 8)).eval()
    found = measure(clip(jump_at), plan(request(2), GRID), GRID, judge)
    assert (found.border_change, found.inside_change, found.motion) == pytest.approx((border, inside, 2.0), abs=0.01)
    assert score.seam_ratio({0: found}) == pytest.approx(border / inside, abs=0.01)
    assert found.flicker == pytest.approx(0.0 if jump_at is None else 2 * 40.0 / 46, abs=0.01)
    assert found.sharpness == 0.0
    assert Measured.from_json(found.to_json()) == found


def test_pieces_of_a_long_clip_are_joined_without_a_gap() -> None:
    noisy = torch.randint(0, 256, (60, 18, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    luma = noisy.float() @ torch.tensor([0.299, 0.587, 0.114])
    bends = (luma[2:] - 2 * luma[1:-1] + luma[:-2]).abs().mean()
    assert flicker(noisy, CPU) == pytest.approx(float(bends), rel=1e-4)


def test_a_blurred_picture_is_less_sharp() -> None:
    noisy = torch.randint(0, 256, (2, 36, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(noisy.permute(0, 3, 1, 2).float(), 3, 1, 1).byte().permute(0, 2, 3, 1)
    assert sharpness(blurred, CPU) < 0.3 * sharpness(noisy, CPU)


def test_psnr() -> None:
    black = torch.full((1, 3, 2, 4, 4), -1.0)
    assert psnr(black, black + 0.02) == pytest.approx(40.0)


def test_frechet_distance_of_known_sets() -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(4000, 5, generator=generator, dtype=torch.float64)
    assert frechet(one, one) == pytest.approx(0.0, abs=1e-6)
    assert frechet(one, one + 2.0) == pytest.approx(5 * 4.0, abs=1e-6)
    # Of N(0, 1) and N(0, 9) in five dimensions: 5 (3 - 1)².
    assert frechet(one, 3.0 * one) == pytest.approx(5 * 4.0, rel=0.1)


def test_judges_see_the_reduced_picture() -> None:
    large = torch.linspace(-1, 1, 768).expand(3, 432, 768)
    small = to_judge(large)
    assert small.shape == (3, 108, 192)
    assert small[0, 0, 0] < 2
    assert small[0, 0, -1] > 253


def reading(**answers: str) -> Measured:
    """A clip in which judges are sure of some answers and see the first class of all other heads."""
    read: dict[str, list[float]] = {}
    for head, classes in HEADS.items():
        chosen = classes.index(answers.get(head, classes[0]))
        read[head] = [math.log(0.9) if i == chosen else math.log(0.1 / (len(classes) - 1)) for i in range(len(classes))]
    windows = {FIRST: read, SECOND: read, LAST: read}
    return Measured(windows, {name: [0.0] for name in windows}, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def test_log_odds() -> None:
    assert reading(colour="blue").log_odds("colour", "blue") == pytest.approx(math.log(0.9 / 0.1), abs=1e-3)
    assert reading(colour="red").log_odds("colour", "blue") < -4.0


def test_scores() -> None:
    colours = ("red", "blue", "red", "green")
    prompts = [Prompt("", {"colour": colour}, Scene("ball", colour), free=False) for colour in colours]
    prompts.append(Prompt("", {"scene": "sea"}, Scene("ball", scene="sea"), free=True))
    seen = ("red", "blue", "blue", "green", "red")
    made = {index: reading(colour=colour, scene="sea") for index, colour in enumerate(seen)}
    best = {index: reading(colour=colour) for index, colour in enumerate(colours)}
    found = score.scores(prompts, made, best)
    # Of the twelve ways to take another prompt's words two are right: blue for the third clip, red for the first.
    assert found["colour"] == {"value": 75.0, "ceiling": 100.0, "floor": 16.67, "n": 4}
    assert found["scene"] == {"value": 100.0, "ceiling": None, "floor": None, "n": 1}
    assert found["style"] == {"value": None, "ceiling": None, "floor": None, "n": 0}
    assert score.obedience(prompts, made) == 80.0
    assert [row["wrong"] for row in score.rows(prompts, made)] == [{}, {}, {"colour": "blue"}, {}, {}]


def test_a_subject_that_travels_is_not_looked_for_in_the_last_second() -> None:
    prompts = [
        Prompt("", {"colour": "red", "direction": "left"}, Scene("ball", "red", motion="left"), free=False),
        Prompt("", {"colour": "red"}, Scene("ball", "red", motion="jump"), free=False),
    ]
    made = {0: reading(colour="blue", direction="left"), 1: reading(colour="red")}
    late = score.late_scores(prompts, made, made)
    assert late.keys() == {"first_second", "last_second"}
    assert (late["last_second"]["colour"]["n"], late["last_second"]["colour"]["value"]) == (1, 100.0)
    assert late["last_second"]["direction"]["value"] == 100.0
    assert score.scores(prompts, made, made)["colour"]["value"] == 50.0
