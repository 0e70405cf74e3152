"""What a person counts on in the walk: frames, sizes, seeds, cancelling."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import styles
from pipeline import Model, VideoRequest, generate, load_model, stream
from pipeline.encode import Fragment, InitSegment, Poster
from pipeline.errors import Cancelled, RequestError
from pipeline.progress import Progress
from pipeline.request import PromptChange


def _beginning(request: VideoRequest, model: Model) -> np.ndarray:
    """The frames of the first two blocks: by then every setting has had its say."""
    frames = generate(request, model)
    made = np.concatenate([made.pixels for made in itertools.islice(frames, 4)])
    frames.close()
    return made


def test_a_bidirectional_checkpoint_walks_as_one_block(whole_clip_folder: Path) -> None:
    seen: list[Progress] = []
    request = VideoRequest(prompt="a red ball", seconds=2, seed=11, num_inference_steps=1, guidance_scale=1.0)
    frames = generate(request, load_model(whole_clip_folder), observe=seen.append)
    assert next(frames).pixels.shape == (1, 432, 768, 3)
    assert {p.num_blocks for p in seen} == {1}
    frames.close()


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"seconds": 4, "fps": 24}, (96, 432, 768, 3)),
        ({"seconds": 2, "fps": 30, "width": 1280, "height": 720}, (60, 720, 1280, 3)),
        ({"seconds": 2, "fps": 24, "width": 576, "height": 1024}, (48, 1024, 576, 3)),
    ],
)
def test_frames_and_size_are_exact(tiny_model: Model, fields: dict[str, int], shape: tuple[int, ...]) -> None:
    index = 0
    for frames in generate(VideoRequest(prompt="猫", seed=1, num_inference_steps=1, **fields), tiny_model):
        assert frames.index == index
        assert frames.pixels.dtype == np.uint8
        assert frames.pixels.shape[1:] == shape[1:]
        index += len(frames.pixels)
    assert index == shape[0]


def test_first_frame_comes_before_the_second_block_starts(tiny_model: Model) -> None:
    seen: list[Progress] = []
    first = next(iter(generate(VideoRequest(prompt="猫", seed=1, seconds=2), tiny_model, observe=seen.append)))
    assert (first.index, len(first.pixels)) == (0, 1)
    assert {p.block for p in seen} == {0}
    assert [p.stage for p in seen] == ["text", "denoise", "denoise", "decode"]


def test_same_seed_same_bytes(tiny_model: Model) -> None:
    request = VideoRequest(prompt="一只(猫:1.2)", seed=5, seconds=2)

    def log(request: VideoRequest) -> bytes:
        pieces = stream(request, tiny_model)
        return b"".join(piece.data for piece in pieces if isinstance(piece, InitSegment | Fragment))

    first = log(request)
    assert first == log(request)
    assert first != log(VideoRequest(prompt="一只(猫:1.2)", seed=6, seconds=2))


@pytest.fixture(scope="module")
def plain(tiny_model: Model) -> np.ndarray:
    return _beginning(VideoRequest(prompt="猫", seed=5, seconds=2), tiny_model)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "狗"},
        {"prompt": "(猫:1.5)"},
        {"style": "Oil Painting"},
        {"denoise_strength": 0.4},
        {"num_inference_steps": 1},
        {"guidance_scale": 3.0},
        {"guidance_scale": 3.0, "negative_prompt": "模糊"},
    ],
)
def test_every_setting_reaches_the_picture(tiny_model: Model, plain: np.ndarray, other: dict[str, object]) -> None:
    fields: dict[str, object] = {"prompt": "猫", "seed": 5, "seconds": 2}
    assert not np.array_equal(plain, _beginning(VideoRequest.from_mapping(fields | other), tiny_model))


def test_lower_strength_runs_fewer_steps_after_the_first_block(tiny_model: Model) -> None:
    seen: list[Progress] = []
    request = VideoRequest(prompt="猫", seed=5, seconds=2, num_inference_steps=4, denoise_strength=0.5)
    for _ in generate(request, tiny_model, observe=seen.append):
        pass
    steps = {p.block: p.num_steps for p in seen if p.stage == "denoise"}
    assert steps == {0: 4, 1: 2, 2: 2, 3: 2, 4: 2}


def test_stream_is_poster_init_and_one_fragment_a_frame(tiny_model: Model) -> None:
    pieces = list(stream(VideoRequest(prompt="猫", seed=5, seconds=2), tiny_model))
    fragments = [piece for piece in pieces if isinstance(piece, Fragment)]
    assert [f.index for f in fragments] == list(range(48))
    assert sum(isinstance(piece, InitSegment) for piece in pieces) == 1
    assert sum(isinstance(piece, Poster) for piece in pieces) == 1


def test_cancel_stops_within_one_step_and_keeps_what_was_made(tiny_model: Model) -> None:
    seen: list[Progress] = []
    stopped_after = 0

    def stop() -> bool:
        nonlocal stopped_after
        made = [p for p in seen if p.stage == "denoise"]
        if len(made) >= 5:
            stopped_after = stopped_after or len(made)
            return True
        return False

    pieces = stream(VideoRequest(prompt="猫", seed=5, seconds=4), tiny_model, stop=stop, observe=seen.append)
    kept = list(itertools.islice(pieces, 2 + 1 + 4 * 3))
    assert sum(isinstance(piece, Fragment) for piece in kept) == 1 + 4 * 3
    with pytest.raises(Cancelled):
        next(pieces)
    assert len([p for p in seen if p.stage == "denoise"]) == stopped_after


def test_a_style_of_a_persons_own_reaches_the_picture(tiny_model: Model, plain: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text('[{"name": "Mine", "prompt": "{prompt}, chalk on slate", "negative_prompt": ""}]')
    request = VideoRequest(prompt="猫", seed=5, seconds=2, style="Mine")
    frames = generate(request, tiny_model, known_styles=styles.load_styles(file))
    made = np.concatenate([made.pixels for made in itertools.islice(frames, 4)])
    frames.close()
    assert not np.array_equal(plain, made)


def test_a_style_may_want_its_own_steps_and_guidance(tiny_model: Model, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    wanted = '{"num_inference_steps": 3, "guidance_scale": 2.5}'
    file.write_text(f'[{{"name": "Slow", "prompt": "{{prompt}}", "negative_prompt": "red", "fusion": {wanted}}}]')
    known = styles.load_styles(file)

    def first(**fields: object) -> tuple[int, np.ndarray]:
        seen: list[Progress] = []
        request = VideoRequest.from_mapping({"prompt": "猫", "seed": 5, "seconds": 2, "style": "Slow", **fields})
        frames = generate(request, tiny_model, known_styles=known, observe=seen.append)
        pixels = next(frames).pixels
        frames.close()
        return next(p.num_steps for p in seen if p.stage == "denoise"), pixels

    (steps, plain), (same_steps, same) = first(), first(num_inference_steps=3, guidance_scale=2.5)
    assert steps == same_steps == 3
    assert np.array_equal(plain, same)
    assert first(num_inference_steps=1)[0] == 1, "a person's own steps come first"
    assert not np.array_equal(plain, first(guidance_scale=1.0)[1])


def test_mistakes_name_their_field(tiny_model: Model) -> None:
    for field, request in [
        ("style", VideoRequest(prompt="猫", style="Baroque")),
        ("batch_size", VideoRequest(prompt="猫", batch_size=2)),
        ("prompt", VideoRequest(prompt="(猫:1.2")),
    ]:
        with pytest.raises(RequestError) as caught:
            next(iter(generate(request, tiny_model)))
        assert caught.value.field == field


# -- another prompt while it runs --------------------------------------------------------------------------------------


def _beginning_with(model: Model, request: VideoRequest, live: dict[int, str]) -> tuple[np.ndarray, list[int]]:
    """The first three blocks (25 frames) while `live` is told by frame, and the frames that were asked about."""
    asked: list[int] = []

    def next_prompt(frame: int) -> str | None:
        asked.append(frame)
        return live.get(frame)

    frames = generate(request, model, next_prompt=next_prompt)
    made = np.concatenate([made.pixels for made in itertools.islice(frames, 7)])
    frames.close()
    return made, asked


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_new_prompt_takes_effect_with_the_next_block(tiny_model: Model, guidance_scale: float) -> None:
    request = VideoRequest(prompt="猫", seed=5, seconds=2, guidance_scale=guidance_scale)
    plain, asked = _beginning_with(tiny_model, request, {})
    assert asked == [1, 13], "once before every block but the first, with its first frame"
    changed, _ = _beginning_with(tiny_model, request, {13: "一只(狗:1.2)"})
    assert np.array_equal(plain[:13], changed[:13])
    assert not np.array_equal(plain[13:], changed[13:])
    same, _ = _beginning_with(tiny_model, request, {13: "猫"})
    assert np.array_equal(plain, same), "the same prompt again changes nothing"


def test_what_was_changed_live_is_made_again_from_the_request(tiny_model: Model) -> None:
    request = VideoRequest(prompt="猫", seed=5, seconds=2)
    live, _ = _beginning_with(tiny_model, request, {1: "狗", 13: "鱼"})
    for frames in ((1, 13), (1, 2)):  # from the first block that begins there or later
        recorded = request
        for frame, prompt in zip(frames, ("狗", "鱼"), strict=True):
            recorded = recorded.with_change(PromptChange(frame, prompt))
        again, _ = _beginning_with(tiny_model, VideoRequest.from_mapping(json.loads(recorded.to_json())), {})
        assert np.array_equal(live, again)


def test_what_is_said_live_wins_over_what_was_planned(tiny_model: Model) -> None:
    planned = VideoRequest(prompt="猫", seed=5, seconds=2, prompt_changes=(PromptChange(13, "狗"),))
    live, _ = _beginning_with(tiny_model, planned, {13: "鱼"})
    only_live, _ = _beginning_with(tiny_model, dataclasses.replace(planned, prompt_changes=()), {13: "鱼"})
    assert np.array_equal(live, only_live)


def test_a_planned_prompt_is_refused_before_the_first_frame(tiny_model: Model) -> None:
    request = VideoRequest(prompt="猫", seconds=2, prompt_changes=(PromptChange(13, "(狗:1.2"),))
    with pytest.raises(RequestError) as caught:
        next(generate(request, tiny_model))
    assert caught.value.field == "prompt_changes"
