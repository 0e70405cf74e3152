"""What a person counts on in the walk: frames, sizes, seeds, cancelling."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import styles
from pipeline import Model, VideoRequest, generate, load_model, stream
from pipeline.encode import Fragment, InitSegment, Poster
from pipeline.errors import Cancelled, RequestError
from pipeline.progress import Progress


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


def test_mistakes_name_their_field(tiny_model: Model) -> None:
    for field, request in [
        ("style", VideoRequest(prompt="猫", style="Baroque")),
        ("batch_size", VideoRequest(prompt="猫", batch_size=2)),
        ("prompt", VideoRequest(prompt="(猫:1.2")),
    ]:
        with pytest.raises(RequestError) as caught:
            next(iter(generate(request, tiny_model)))
        assert caught.value.field == field
