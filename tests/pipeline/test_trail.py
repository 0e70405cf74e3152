"""A clip that goes on from an earlier one is the clip that would have been made at once."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import Model, VideoRequest, generate, load_model, mp4, stream, trail
from pipeline.encode import Fragment, InitSegment, Poster, read_settings
from pipeline.errors import EncoderError, RequestError
from pipeline.past import Past
from pipeline.walk import Frames
from tests.tiny import SmallRequest

SHORT = SmallRequest(prompt="猫", seed=5, seconds=2, num_inference_steps=1, width=96, height=64)
LONGER = dataclasses.replace(SHORT, earlier_seconds=2)
NOWHERE = Path("there is no log, because only frames are made here")


def joined(frames: Iterable[Frames]) -> np.ndarray:
    return np.concatenate([some.pixels for some in frames])


@pytest.fixture(scope="module")
def at_once(tiny_model: Model) -> np.ndarray:
    return joined(generate(LONGER, tiny_model))


@pytest.fixture
def kept(tiny_model: Model, tmp_path: Path) -> Path:
    """Latents of a whole clip of two seconds."""
    for _ in generate(SHORT, tiny_model, latents_dir=tmp_path / "latents"):
        pass
    return tmp_path / "latents"


def test_two_seconds_and_two_more_are_four_at_once(tiny_model: Model, kept: Path, at_once: np.ndarray) -> None:
    assert at_once.shape[0] == 96
    further = list(generate(LONGER, tiny_model, latents_dir=kept, past=Past(NOWHERE, 48)))
    assert [some.index for some in further[:2]] == [48, 49], "the frame that the first clip had no room for comes first"
    assert np.array_equal(joined(further), at_once[48:])


def test_it_goes_on_from_the_middle_of_a_block(tiny_model: Model, tmp_path: Path, at_once: np.ndarray) -> None:
    """As after a crash: latents of a block are there, of its frames only some."""
    cut = generate(LONGER, tiny_model, latents_dir=tmp_path)
    made = joined(itertools.islice(cut, 6))
    cut.close()
    past = Past(NOWHERE, 15)
    assert np.array_equal(made[:15], at_once[:15])
    assert np.array_equal(joined(generate(LONGER, tiny_model, latents_dir=tmp_path, past=past)), at_once[15:])


def test_another_seed_makes_another_continuation(tiny_model: Model, kept: Path, at_once: np.ndarray) -> None:
    other = dataclasses.replace(LONGER, seed=6)
    further = joined(generate(other, tiny_model, latents_dir=kept, past=Past(NOWHERE, 48)))
    assert np.array_equal(further[0], at_once[48]), "the last latent of the past is the same"
    assert not np.array_equal(further[1:], at_once[49:])


def test_only_what_is_needed_is_kept(
    tiny_model: Model, tmp_path: Path, at_once: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "WARM_LATENTS", 9)
    for _ in generate(SHORT, tiny_model, latents_dir=tmp_path):
        pass
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{start:06d}.safetensors" for start in (0, 4, 7, 10)], "the sink, and nine latents"
    further = list(generate(LONGER, tiny_model, latents_dir=tmp_path, past=Past(NOWHERE, 48)))
    assert further[0].index == 48
    made = joined(further)
    assert made.shape == at_once[48:].shape
    assert np.abs(made.astype(float) - at_once[48:]).mean() < 1.0, (
        "caches made anew from nine latents are all but exact"
    )


@pytest.mark.parametrize("context", ["frame", "latents"])
def test_chained_blocks_go_on_too(chained_folder: Path, tmp_path: Path, context: str) -> None:
    model = load_model(chained_folder, backend="torch")
    model = dataclasses.replace(model, spec=dataclasses.replace(model.spec, context=context))
    short = dataclasses.replace(SHORT, guidance_scale=1.0)
    longer = dataclasses.replace(short, earlier_seconds=2)
    for _ in generate(short, model, latents_dir=tmp_path):
        pass
    further = generate(longer, model, latents_dir=tmp_path, past=Past(NOWHERE, 48))
    assert np.array_equal(joined(further), joined(generate(longer, model))[48:])


def test_a_past_that_does_not_fit_is_refused(tiny_model: Model, kept: Path, tmp_path: Path) -> None:
    def refused(request: VideoRequest, model: Model, folder: Path) -> str:
        with pytest.raises(RequestError) as caught:
            next(generate(request, model, latents_dir=folder, past=Past(NOWHERE, 48)))
        assert caught.value.field == "continues"
        return caught.value.message_en

    other = dataclasses.replace(tiny_model, spec=dataclasses.replace(tiny_model.spec, name="another"))
    assert tiny_model.spec.name in refused(LONGER, other, kept)
    larger = VideoRequest(prompt="猫", seed=5, seconds=2, num_inference_steps=1, earlier_seconds=2)
    assert "[1, 8, 1, 4, 6]" in refused(larger, tiny_model, kept)
    refused(LONGER, tiny_model, tmp_path / "nothing")
    (kept / "000001.safetensors").write_bytes(b"torn")
    refused(LONGER, tiny_model, kept)


def test_a_clip_that_is_one_block_keeps_nothing(whole_clip_folder: Path, tmp_path: Path) -> None:
    frames = generate(SHORT, load_model(whole_clip_folder), latents_dir=tmp_path / "latents")
    next(frames)
    frames.close()
    assert not (tmp_path / "latents").exists()


def test_the_stream_begins_with_the_fragments_of_the_past(tiny_model: Model, kept: Path, tmp_path: Path) -> None:
    log, whole = tmp_path / "log.mp4", tmp_path / "whole.mp4"
    pieces = [piece for piece in stream(SHORT, tiny_model) if not isinstance(piece, Poster)]
    log.write_bytes(b"".join(piece.data for piece in pieces))
    further = list(stream(LONGER, tiny_model, latents_dir=kept, past=Past(log, 48)))
    assert isinstance(further[0], InitSegment)
    assert not any(isinstance(piece, Poster) for piece in further), "the past has one"
    fragments = [piece for piece in further if isinstance(piece, Fragment)]
    assert [piece.index for piece in fragments] == list(range(96))
    assert fragments[:48] == pieces[1:]
    assert fragments[48].is_key
    whole.write_bytes(b"".join(piece.data for piece in further if not isinstance(piece, Poster)))
    assert mp4.measure(whole).fragments == 96
    assert SmallRequest.from_mapping(json.loads(read_settings(whole) or "")) == LONGER
    with av.open(io.BytesIO(whole.read_bytes())) as file:
        times = [frame.pts for frame in file.decode(video=0)]
    assert times == [512 * i for i in range(96)]
    with pytest.raises(EncoderError, match="the log ends"):
        list(stream(LONGER, tiny_model, latents_dir=shutil.copytree(kept, tmp_path / "again"), past=Past(log, 49)))
