"""Frames in, playable bytes out: promptness, colour, determinism, the finished file."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline import encode as module
from pipeline.encode import Fragment, InitSegment, Poster, choose_encoder, encode, finish, read_settings
from pipeline.errors import EncoderError
from pipeline.progress import Progress
from pipeline.request import SIZES

SETTINGS = '{"prompt": "一只红色的球，从左向右移动", "seed": 7}'


def ramp(num_frames: int, width: int, height: int) -> np.ndarray:
    """uint8 [num_frames, height, width, 3]: a horizontal ramp that moves by two pixels a frame."""
    columns = np.arange(width)[None, :, None] // 2 + np.array([0, 60, 120])
    return np.stack([np.broadcast_to((columns + i) % 256, (height, width, 3)) for i in range(num_frames)]).astype(
        np.uint8
    )


def log_of(frames: list[np.ndarray], width: int, height: int, fps: int = 24) -> bytes:
    made = encode(frames, width=width, height=height, fps=fps, settings=SETTINGS, encoder="libx264")
    return b"".join(piece.data for piece in made if not isinstance(piece, Poster))


def test_each_frame_comes_out_before_the_next_is_asked_for() -> None:
    asked = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal asked
        for frame in ramp(30, 768, 432):
            asked += 1
            yield frame[None]

    stream = encode(frames(), width=768, height=432, fps=24, encoder="libx264")
    assert isinstance(next(stream), InitSegment)
    assert asked == 0, "the init segment needs no frame"
    assert isinstance(next(stream), Poster)
    for index, piece in enumerate(stream):
        assert isinstance(piece, Fragment)
        assert (piece.index, asked, piece.is_key) == (index, index + 1, index % 12 == 0)
    assert asked == 30


def test_frames_may_come_in_batches_of_any_size_and_progress_is_told() -> None:
    clip = ramp(10, 768, 432)
    told: list[Progress] = []
    batches = [clip[:1], clip[1:5], clip[5:9], clip[9:]]
    made = list(encode(batches, width=768, height=432, fps=24, observe=told.append, encoder="libx264"))
    assert [piece.index for piece in made if isinstance(piece, Fragment)] == list(range(10))
    assert [(p.stage, p.frames) for p in told] == [("encode", i) for i in range(1, 11)]


def test_same_frames_give_the_same_bytes() -> None:
    clip = ramp(26, 768, 432)
    assert log_of([clip], 768, 432) == log_of([frame[None] for frame in clip], 768, 432)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_offered_size_finishes_with_its_exact_size_and_frame_count(
    tmp_path: Path, width: int, height: int
) -> None:
    log, out = tmp_path / "log.mp4", tmp_path / "video.mp4"
    log.write_bytes(log_of([ramp(14, width, height)], width, height, fps=30))
    finish(log, out, SETTINGS)
    with av.open(str(out)) as file:
        video = file.streams.video[0]
        assert (video.codec_context.name, video.pix_fmt) == ("h264", "yuv420p")
        assert (video.width, video.height, video.frames, video.average_rate) == (width, height, 14, Fraction(30))
        assert len(list(file.decode(video))) == 14


def test_four_seconds_at_24_fps_are_96_frames_and_four_seconds(tmp_path: Path) -> None:
    log, out = tmp_path / "log.mp4", tmp_path / "video.mp4"
    log.write_bytes(log_of([ramp(96, 768, 432)], 768, 432))
    finish(log, out, SETTINGS)
    with av.open(str(out)) as file:
        video = file.streams.video[0]
        assert video.frames == 96
        assert file.duration == 4_000_000
        assert [frame.time for frame in file.decode(video)] == [pytest.approx(i / 24) for i in range(96)]


def test_finished_file_has_its_index_in_front_seeks_and_keeps_every_sample(tmp_path: Path) -> None:
    log, out = tmp_path / "log.mp4", tmp_path / "video.mp4"
    log.write_bytes(log_of([ramp(48, 768, 432)], 768, 432))
    finish(log, out, SETTINGS)
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data
    with av.open(str(log)) as before, av.open(str(out)) as after:
        packets = [[bytes(p) for p in file.demux(video=0) if p.dts is not None] for file in (before, after)]
        assert packets[0] == packets[1]
        after.seek(1_500_000)
        assert next(after.decode(video=0)).time == pytest.approx(1.5)  # a key frame every half second


def test_finish_is_reproducible_and_leaves_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "log.mp4"
    log.write_bytes(log_of([ramp(13, 768, 432)], 768, 432))
    for name in ("a.mp4", "b.mp4"):
        finish(log, tmp_path / name, SETTINGS)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "log.mp4"]


def test_settings_come_back_from_the_finished_and_from_the_partial_file(tmp_path: Path) -> None:
    log, out = tmp_path / "log.mp4", tmp_path / "video.mp4"
    log.write_bytes(log_of([ramp(2, 768, 432)], 768, 432))
    long_settings = SETTINGS.replace("一只", "很长的提示词" * 300)
    finish(log, out, long_settings)
    assert read_settings(log) == SETTINGS
    assert read_settings(out) == long_settings


def test_files_that_are_no_video_are_refused_and_leave_no_draft(tmp_path: Path) -> None:
    log, out = tmp_path / "log.mp4", tmp_path / "video.mp4"
    log.write_bytes(b"not a video at all, only some text")
    with pytest.raises(EncoderError):
        finish(log, out, SETTINGS)
    with pytest.raises(EncoderError, match=r"log\.mp4"):
        read_settings(log)
    assert [path.name for path in tmp_path.iterdir()] == ["log.mp4"]


@pytest.mark.parametrize(
    ("rgb", "yuv"),
    [
        ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)),
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
    ],
)
def test_colours_are_bt709_limited_range_and_say_so(rgb: tuple[int, int, int], yuv: tuple[int, int, int]) -> None:
    flat = np.empty((1, 432, 768, 3), np.uint8)
    flat[:] = rgb
    with av.open(io.BytesIO(log_of([flat], 768, 432))) as file:
        frame = next(file.decode(video=0))
        planes = frame.to_ndarray()
    luma, chroma = planes[:432], planes[432:].reshape(2, -1)
    measured = (luma.mean(), chroma[0].mean(), chroma[1].mean())
    assert measured == pytest.approx(yuv, abs=2)
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)


def test_poster_is_frame_zero() -> None:
    clip = ramp(2, 1024, 576)
    poster = next(p for p in encode([clip], width=1024, height=576, fps=24, encoder="libx264") if isinstance(p, Poster))
    pixels = np.asarray(Image.open(io.BytesIO(poster.jpeg)).convert("RGB"), np.int16)
    assert pixels.shape == (576, 1024, 3)
    assert np.abs(pixels - clip[0]).mean() < 4


@pytest.mark.parametrize(
    "frames",
    [np.zeros((1, 432, 768, 3), np.float32), np.zeros((432, 768, 3), np.uint8), np.zeros((1, 430, 768, 3), np.uint8)],
)
def test_frames_of_another_kind_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(EncoderError, match="expected uint8"):
        list(encode([frames], width=768, height=432, fps=24, encoder="libx264"))


def test_the_chosen_encoder_is_one_that_encodes_here() -> None:
    choice = choose_encoder()
    assert choice is choose_encoder(), "chosen once"
    init = next(encode(iter(()), width=1280, height=720, fps=24))
    assert isinstance(init, InitSegment)
    assert init.encoder == choice.name
    assert choice.reason


def test_an_encoder_that_no_longer_opens_is_replaced_by_libx264(caplog: pytest.LogCaptureFixture) -> None:
    if choose_encoder().name == module.HARDWARE_ENCODER:
        pytest.skip("the GPU's encoder opens here")
    init, *rest = encode([ramp(3, 768, 432)], width=768, height=432, fps=24, encoder=module.HARDWARE_ENCODER)
    assert isinstance(init, InitSegment)
    assert init.encoder == "libx264"
    assert sum(isinstance(piece, Fragment) for piece in rest) == 3
    assert "h264_nvenc does not open" in caplog.text


def test_never_imports_torch() -> None:
    code = "import sys, pipeline.encode; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
