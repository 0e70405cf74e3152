"""The procedural world on a small frame: shape, range, determinism, and that the pixels show what the scene says."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch
from torch import Tensor

from training.attributes import BACKDROPS, COLOURS, MOTIONS, STYLES, SUBJECTS, WEATHERS
from training.scene import EXAMPLES, Scene, is_held_out, place, sample_scene, validate
from training.view import PALETTE
from training.world import render

CPU = torch.device("cpu")
HEIGHT, WIDTH = 48, 84


def draw(scene: Scene, *times_s: float, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """One clip, [3, F, H, W] in [0, 1]."""
    clip = render([scene], torch.tensor([times_s]), height=height, width=width, device=CPU)[0]
    return (clip.float() + 1.0) * 0.5


def centroid(clip: Tensor, colour: str) -> Tensor:
    """Where pixels of a colour are: [F, 2], x to the right and y up, each -0.5 to 0.5."""
    distance = (clip - torch.tensor(PALETTE[colour]).view(3, 1, 1, 1)).square().sum(0)
    weight = (distance < 0.12).float()
    x = torch.linspace(-0.5, 0.5, clip.shape[3])
    y = torch.linspace(0.5, -0.5, clip.shape[2])
    total = weight.sum((1, 2)).clamp_min(1e-6)
    return torch.stack([(weight.sum(1) * x).sum(1) / total, (weight.sum(2) * y).sum(1) / total], 1)


def variety() -> list[Scene]:
    """Every subject, backdrop, weather, motion and style at least once."""
    rng = random.Random(5)
    scenes = [place(Scene(name, "natural" if not kind.colours else "red"), rng) for name, kind in SUBJECTS.items()]
    scenes += [place(Scene("cat", "blue", scene=name, time_of_day="night", light="neon"), rng) for name in BACKDROPS]
    scenes += [place(Scene(style=name, scene="sea", camera="push_in", light="backlight"), rng) for name in STYLES]
    scenes += [place(Scene("bird", "green", weather=name, scene="meadow", motion="drift"), rng) for name in WEATHERS]
    for name in MOTIONS:
        subject = next(key for key, kind in SUBJECTS.items() if name in kind.motions)
        scenes.append(place(Scene(subject, motion=name, camera="pan", count=SUBJECTS[subject].max_count), rng))
    return scenes


def test_shape_range_and_no_gaps() -> None:
    scenes = variety()
    times = torch.rand(len(scenes), 2, generator=torch.Generator().manual_seed(0)) * 10.0
    clips = render(scenes, times, height=HEIGHT, width=WIDTH, device=CPU)
    assert clips.shape == (len(scenes), 3, 2, HEIGHT, WIDTH)
    assert clips.dtype == torch.float16
    assert torch.isfinite(clips).all()
    assert clips.min() >= -1.0
    assert clips.max() <= 1.0
    assert (clips.float().flatten(1).std(1) > 0.02).all()


def test_portrait_frames() -> None:
    clip = draw(Scene("cat", "blue"), 0.0, height=84, width=48)
    assert (centroid(clip, "blue").abs() < 0.5).all()


def test_a_clip_does_not_depend_on_its_neighbours() -> None:
    scenes = variety()[::9]
    times = torch.linspace(0.0, 3.0, 2).expand(len(scenes), 2)
    together = render(scenes, times, height=HEIGHT, width=WIDTH, device=CPU)
    for number, scene in enumerate(scenes):
        alone = render([scene], times[:1], height=HEIGHT, width=WIDTH, device=CPU)[0]
        assert torch.allclose(alone.float(), together[number].float(), atol=2e-2)


def test_frames_depend_on_their_time_only() -> None:
    scene = dataclasses.replace(Scene("bird", "red", scene="sea", motion="left", weather="snow"), seed=7)
    whole = draw(scene, 0.0, 1.0, 2.0)
    assert torch.equal(whole[:, 1:], draw(scene, 1.0, 2.0))


@pytest.mark.parametrize(("motion", "axis", "sign"), [("right", 0, 1), ("left", 0, -1), ("rise", 1, 1)])
@pytest.mark.parametrize("backdrop", ["studio", "forest"])
def test_direction_shows_within_a_second(motion: str, axis: int, sign: int, backdrop: str) -> None:
    subject = "balloon" if motion == "rise" else "ball"
    scene = Scene(subject, "blue", motion=motion, scene=backdrop, x=-0.3 * sign, lift=0.0, pace=1.0)
    path = centroid(draw(scene, 0.0, 1.0), "blue")
    assert sign * (path[1, axis] - path[0, axis]) > 0.06


def test_still_subjects_stay() -> None:
    path = centroid(draw(Scene("cat", "blue"), 0.0, 1.0, 2.0), "blue")
    assert path.std(0).max() < 0.02


def test_a_moving_subject_comes_back() -> None:
    path = centroid(draw(Scene("ball", "blue", motion="right", pace=2.0), *[0.5 * i for i in range(18)]), "blue")
    steps = path[1:, 0] - path[:-1, 0]
    assert (steps > 0).float().mean() > 0.7
    assert steps.min() < -0.3


@pytest.mark.parametrize("colour", COLOURS)
def test_the_subject_has_its_colour(colour: str) -> None:
    clip = draw(Scene("ball", colour, size="large"), 0.0)[:, 0]
    expected = torch.tensor(PALETTE[colour])
    seen = clip[:, 22:40, 34:50].flatten(1).median(1).values
    nearest = min(PALETTE, key=lambda name: (seen - torch.tensor(PALETTE[name])).square().sum().item())
    assert (seen - expected).abs().max() < 0.22
    assert nearest == colour or {nearest, colour} <= {"grey", "steel", "white"}


def test_count_shows() -> None:
    clip = draw(Scene("ball", "red", count=4), 0.0, height=64, width=112)[:, 0]
    red = ((clip[0] - clip[1]) > 0.4).any(0).int()
    assert int((red[1:] > red[:-1]).sum() + red[0]) == 4


@pytest.mark.parametrize("weather", ["rain", "snow", "fog"])
def test_weather_shows_as_much_as_its_intensity_says(weather: str) -> None:
    scene = Scene("ball", scene="meadow", weather=weather)
    shown = [dataclasses.replace(scene, intensity=share) for share in (0.0, 0.5, 1.0)]
    fine = draw(dataclasses.replace(scene, weather="clear"), 0.0)
    none, half, full = (float((draw(one, 0.0) - fine).abs().mean()) for one in shown)
    assert none == 0
    assert 0.3 * full < half < 0.7 * full


def test_held_out_combinations_are_reserved() -> None:
    rng = random.Random(1)
    drawn = [sample_scene(rng) for _ in range(4000)]
    share = sum(map(is_held_out, drawn)) / len(drawn)
    assert 0.01 < share < 0.06
    assert not any(is_held_out(sample_scene(rng, held_out=False)) for _ in range(500))
    assert all(is_held_out(sample_scene(rng, held_out=True)) for _ in range(20))
    assert not any(is_held_out(scene) for _, scene in EXAMPLES)


def test_every_drawn_scene_and_every_example_is_valid() -> None:
    rng = random.Random(2)
    for scene in [sample_scene(rng) for _ in range(2000)] + [scene for _, scene in EXAMPLES]:
        validate(scene)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one row"):
        render([Scene()], torch.zeros(2, 3), height=8, width=8, device=CPU)
    with pytest.raises(ValueError, match="motion"):
        validate(Scene("tree", "green", motion="jump"))
