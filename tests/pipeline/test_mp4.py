"""The container written by hand, read back by FFmpeg and byte by byte."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import mp4
from pipeline.encode import Fragment, InitSegment, encode
from pipeline.errors import EncoderError

WIDTH, HEIGHT, FPS, NUM_FRAMES = 768, 432, 24, 48


def moving(num_frames: int, width: int, height: int) -> np.ndarray:
    """A gradient that drifts and a red square that crosses it: uint8 [num_frames, height, width, 3]."""
    rows, columns = np.mgrid[0:height, 0:width]
    clip = np.empty((num_frames, height, width, 3), np.uint8)
    for i, frame in enumerate(clip):
        frame[..., 0] = (columns // 4 + 3 * i) % 256
        frame[..., 1] = rows * 255 // height
        frame[..., 2] = 128
        left = i * (width - 64) // num_frames
        frame[height // 2 : height // 2 + 64, left : left + 64] = (220, 20, 20)
    return clip


@pytest.fixture(scope="module")
def pieces() -> list[bytes]:
    made = encode([moving(NUM_FRAMES, WIDTH, HEIGHT)], width=WIDTH, height=HEIGHT, fps=FPS, encoder="libx264")
    return [piece.data for piece in made if isinstance(piece, InitSegment | Fragment)]


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Top-level boxes of `data` as (kind, body)."""
    found: list[tuple[bytes, bytes]] = []
    while data:
        length, kind = struct.unpack(">I4s", data[:8])
        assert 8 <= length <= len(data)
        found.append((kind, data[8:length]))
        data = data[length:]
    return found


def child(body: bytes, *path: bytes) -> bytes:
    for kind in path:
        body = next(inner for name, inner in boxes(body) if name == kind)
    return body


def test_init_segment_describes_one_track_of_unknown_length(pieces: list[bytes]) -> None:
    top = boxes(pieces[0])
    assert [kind for kind, _ in top] == [b"ftyp", b"moov"]
    moov = top[1][1]
    assert struct.unpack(">I", child(moov, b"mvhd")[16:20]) == (0,), "no duration is claimed"
    assert [kind for kind, _ in boxes(child(moov, b"mvex"))] == [b"trex"], "no mehd either"
    width, height = struct.unpack(">II", child(moov, b"trak", b"tkhd")[-8:])
    assert (width >> 16, height >> 16) == (WIDTH, HEIGHT)
    assert struct.unpack(">I", child(moov, b"trak", b"mdia", b"mdhd")[12:16]) == (FPS * mp4.TICKS_PER_FRAME,)


def test_every_fragment_says_when_it_decodes_and_where_its_sample_lies(pieces: list[bytes]) -> None:
    for index, piece in enumerate(pieces[1:]):
        (_, moof), (kind, sample) = boxes(piece)
        assert kind == b"mdat"
        assert struct.unpack(">I", child(moof, b"mfhd")[4:]) == (index + 1,)
        assert struct.unpack(">Q", child(moof, b"traf", b"tfdt")[4:]) == (index * mp4.TICKS_PER_FRAME,)
        count, offset, size, flags = struct.unpack(">IiII", child(moof, b"traf", b"trun")[4:])
        assert (count, size) == (1, len(sample))
        assert (8 + len(moof), offset) == (96, 104), "as docs/streaming.md says"
        assert piece[offset:] == sample
        assert (flags == 0x02000000) == (index % 12 == 0)


def test_samples_hold_only_whole_length_prefixed_units(pieces: list[bytes]) -> None:
    for piece in pieces[1:]:
        sample = boxes(piece)[1][1]
        kinds: list[int] = []
        while sample:
            (length,) = struct.unpack(">I", sample[:4])
            assert 0 < length <= len(sample) - 4
            kinds.append(sample[4] & 31)
            sample = sample[4 + length :]
        assert set(kinds) <= {1, 5, 6}


def test_codec_string_is_profile_constraints_level(pieces: list[bytes]) -> None:
    context = av.open(io.BytesIO(b"".join(pieces))).streams.video[0].codec_context
    avcc = bytes(context.extradata or b"")
    parameters = mp4.ParameterSets(avcc[8 : 8 + struct.unpack(">H", avcc[6:8])[0]], b"\x68")
    assert parameters.codec == "avc1." + avcc[1:4].hex().upper()


@pytest.mark.parametrize("num_fragments", sorted(random.Random(7).sample(range(1, NUM_FRAMES + 1), 20)))
def test_every_prefix_that_ends_at_a_fragment_decodes_in_full(pieces: list[bytes], num_fragments: int) -> None:
    with av.open(io.BytesIO(b"".join(pieces[: 1 + num_fragments])), format="mp4") as file:
        frames = list(file.decode(video=0))
    assert len(frames) == num_fragments
    assert [frame.pts for frame in frames] == [i * mp4.TICKS_PER_FRAME for i in range(num_fragments)]
    assert {(frame.width, frame.height, frame.format.name) for frame in frames} == {(WIDTH, HEIGHT, "yuv420p")}


@pytest.mark.parametrize("torn", [1, 7, 8, 60, 97])
def test_measure_stops_before_a_torn_fragment(pieces: list[bytes], tmp_path: Path, torn: int) -> None:
    log = tmp_path / "log.mp4"
    whole = b"".join(pieces[:11])
    log.write_bytes(whole + pieces[11][:torn])
    assert mp4.measure(log) == mp4.Extent(len(whole), 10)


def test_measure_of_nothing_and_of_half_an_init_segment_is_zero(pieces: list[bytes], tmp_path: Path) -> None:
    log = tmp_path / "log.mp4"
    for data in (b"", pieces[0][:-1], b"\x00" * 64):
        log.write_bytes(data)
        assert mp4.measure(log) == mp4.Extent(0, 0)


def test_high_profile_gets_its_avcc_extension() -> None:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 64, "yuv420p", 1
    context.framerate = 24
    context.options = {"preset": "veryfast", "tune": "zerolatency"}
    context.flags |= 1 << 22
    context.open()
    parameters = mp4.ParameterSets.from_extradata(bytes(context.extradata or b""))
    assert parameters.codec.startswith("avc1.64")
    init = mp4.init_segment(parameters, width=64, height=64, fps=24)
    stsd = child(boxes(init)[1][1], b"trak", b"mdia", b"minf", b"stbl", b"stsd")
    assert child(child(stsd[8:], b"avc1")[78:], b"avcC").endswith(bytes((0xFD, 0xF8, 0xF8, 0)))


def test_a_packet_whose_units_deny_its_key_flag_is_refused() -> None:
    with pytest.raises(EncoderError, match="marked key=True"):
        mp4.fragment(b"\x00\x00\x00\x01\x41\x9a", index=3, is_key=True)
    with pytest.raises(EncoderError, match="no NAL unit"):
        mp4.fragment(b"\x00\x00\x00\x01\x09\xf0", index=3, is_key=False)


def test_a_header_without_parameter_sets_is_refused() -> None:
    with pytest.raises(EncoderError, match="0 SPS and 1 PPS"):
        mp4.ParameterSets.from_extradata(b"\x00\x00\x00\x01\x68\xce\x3c\x80")


def test_units_are_split_at_both_lengths_of_start_code() -> None:
    assert list(mp4.nal_units(b"\x00\x00\x00\x01\x67\x01\x00\x00\x01\x68\x02\x00")) == [b"\x67\x01", b"\x68\x02"]
