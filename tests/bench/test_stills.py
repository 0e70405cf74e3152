"""The pictures of the page: which frame, which file, how many bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import styles
from bench import stills
from pipeline import VideoRequest, generate, load_model


def test_the_frame_is_the_walks_own(tiny_folder: Path) -> None:
    model = load_model(tiny_folder)
    request = VideoRequest(prompt="猫", seed=3, seconds=2, style="Watercolor")
    made = np.concatenate([frames.pixels for frames in generate(request, model)])
    assert np.array_equal(np.asarray(stills.still(request, model)), made[stills.FRAME])


def test_every_example_and_every_style_has_a_name_of_its_own() -> None:
    wanted = dict(stills.wanted(0))
    known, examples = styles.load_styles(), styles.load_examples()
    assert len(wanted) == len(known) + len(examples)
    subjects = {wanted[styles.style_picture(style)].prompt for style in known.values()}
    assert len(subjects) == 1, "the same subject in every style"
    for example in examples:
        request = wanted[styles.example_picture(example, known[example.style])]
        assert (request.prompt, request.style) == (example.prompt_zh, example.style)


def test_old_pictures_go_and_new_ones_are_small(tmp_path: Path) -> None:
    (tmp_path / "old.webp").write_bytes(b"")
    total = stills.write({"a.webp": Image.new("RGB", (576, 1024), "red")}, tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == total
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("WEBP", (stills.WIDTH, stills.HEIGHT))


def test_too_many_bytes_are_refused_and_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stills, "MAX_BYTES", 10)
    (tmp_path / "old.webp").write_bytes(b"")
    with pytest.raises(ValueError, match="at most 10"):
        stills.write({"a.webp": Image.new("RGB", (64, 64))}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["old.webp"]
