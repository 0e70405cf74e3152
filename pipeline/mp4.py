"""Fragmented MP4, written as bytes: one init segment (ftyp + moov), then one fragment (moof + mdat) per H.264 packet.

Owns the box layout of the stream and its byte arithmetic. Knows no encoder, no frames and no job. It exists because a
general muxer closes a fragment only when the next packet arrives, which would hold the first frame back for as long as
the second takes to make. One video track, no B-frames (decode order is display order), every sample of one duration.
`docs/streaming.md` shows the layout byte by byte.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import EncoderError

TICKS_PER_FRAME = 512
"""Duration of a frame in the track's time scale, which is fps x 512: as FFmpeg's muxer has it, so a remux keeps it."""

_TRACK_ID = 1
_START_CODE = re.compile(b"\x00\x00\x01")
_NAL_IDR, _NAL_SPS, _NAL_PPS, _NAL_AUD = 5, 7, 8, 9
_HIGH_PROFILES = frozenset({100, 110, 122, 244})
_IDENTITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SYNC_SAMPLE, _DEPENDENT_SAMPLE = 0x02000000, 0x01010000
_LANGUAGE_UND = 0x55C4
_SAMPLE_FLAGS_AT = 92  # in a fragment: the end of its moof


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """H.264 parameter sets, one of each, as bare NAL units (no start code).

    Attributes:
        sps: sequence parameter set; bytes 1 to 3 are profile, constraint flags and level.
        pps: picture parameter set.
    """

    sps: bytes
    pps: bytes

    @classmethod
    def from_extradata(cls, extradata: bytes) -> ParameterSets:
        """Read an encoder's global header in Annex B form.

        Raises:
            EncoderError: if it does not hold exactly one SPS and one PPS.
        """
        units = list(nal_units(extradata))
        sps = [unit for unit in units if unit[0] & 31 == _NAL_SPS]
        pps = [unit for unit in units if unit[0] & 31 == _NAL_PPS]
        if len(sps) != 1 or len(pps) != 1:
            raise EncoderError(f"global header holds {len(sps)} SPS and {len(pps)} PPS; expected one of each")
        return cls(sps[0], pps[0])

    @property
    def codec(self) -> str:
        """RFC 6381 name for `MediaSource.isTypeSupported`, such as `avc1.42C01E`."""
        return "avc1." + self.sps[1:4].hex().upper()


def nal_units(annex_b: bytes) -> Iterator[bytes]:
    """Split an Annex B byte stream into NAL units without start codes."""
    for unit in _START_CODE.split(annex_b)[1:]:
        # A NAL unit never ends in a zero byte: zeros here belong to the next start code.
        stripped = unit.rstrip(b"\x00")
        if stripped:
            yield stripped


def init_segment(parameters: ParameterSets, *, width: int, height: int, fps: int, comment: str = "") -> bytes:
    """Build ftyp + moov: what a reader needs before the first fragment.

    Args:
        parameters: of the encoder whose packets will follow; 8 bit 4:2:0, BT.709 limited range.
        width, height: pixels.
        fps: frames a second.
        comment: stored as the file's comment (iTunes style `udta`), so that a partial file carries its settings; "" for
            none.
    """
    # Durations are 0 ("unknown"): the length is not known until the file has ended, and a prefix must not claim it.
    mvhd = _full_box(
        b"mvhd",
        struct.pack(">4I", 0, 0, 1000, 0)
        + struct.pack(">IHHII", 0x10000, 0x0100, 0, 0, 0)
        + _IDENTITY_MATRIX
        + bytes(24)
        + struct.pack(">I", _TRACK_ID + 1),
    )
    tkhd = _full_box(
        b"tkhd",
        struct.pack(">5I", 0, 0, _TRACK_ID, 0, 0)
        + struct.pack(">II4H", 0, 0, 0, 0, 0, 0)
        + _IDENTITY_MATRIX
        + struct.pack(">II", width << 16, height << 16),
        flags=3,  # enabled, in movie
    )
    mdhd = _full_box(b"mdhd", struct.pack(">4IHH", 0, 0, fps * TICKS_PER_FRAME, 0, _LANGUAGE_UND, 0))
    hdlr = _full_box(b"hdlr", struct.pack(">I4s3I", 0, b"vide", 0, 0, 0) + b"VideoHandler\x00")
    dinf = _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1), _full_box(b"url ", flags=1)))
    stbl = _box(
        b"stbl",
        _full_box(b"stsd", struct.pack(">I", 1), _avc1(parameters, width, height)),
        _full_box(b"stts", bytes(4)),
        _full_box(b"stsc", bytes(4)),
        _full_box(b"stsz", bytes(8)),
        _full_box(b"stco", bytes(4)),
    )
    minf = _box(b"minf", _full_box(b"vmhd", bytes(8), flags=1), dinf, stbl)
    trak = _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf))
    trex = _full_box(b"trex", struct.pack(">5I", _TRACK_ID, 1, TICKS_PER_FRAME, 0, _DEPENDENT_SAMPLE))
    ftyp = _box(b"ftyp", b"iso6", struct.pack(">I", 1), b"iso6", b"avc1", b"mp41")
    return ftyp + _box(b"moov", mvhd, trak, _box(b"mvex", trex), _comment(comment) if comment else b"")


def fragment(packet: bytes, *, index: int, is_key: bool) -> bytes:
    """Build moof + mdat for one frame.

    Args:
        packet: one encoded frame in Annex B form.
        index: number of the frame, from 0: its decode and display time in frames.
        is_key: whether decoding can start here.

    Raises:
        EncoderError: if the packet holds no NAL unit, or `is_key` and the packet's own NAL units disagree.
    """
    # Parameter sets stand in avcC and access unit delimiters carry nothing: neither belongs into a sample of `avc1`.
    units = [unit for unit in nal_units(packet) if unit[0] & 31 not in (_NAL_SPS, _NAL_PPS, _NAL_AUD)]
    if not units:
        raise EncoderError(f"packet of frame {index} holds no NAL unit")
    if is_key != any(unit[0] & 31 == _NAL_IDR for unit in units):
        raise EncoderError(f"packet of frame {index} is marked key={is_key}, its NAL units say otherwise")
    sample = b"".join(struct.pack(">I", len(unit)) + unit for unit in units)
    head = _full_box(b"mfhd", struct.pack(">I", index + 1))
    tfhd = _full_box(b"tfhd", struct.pack(">I", _TRACK_ID), flags=0x020000)  # offsets count from this moof
    tfdt = _full_box(b"tfdt", struct.pack(">Q", index * TICKS_PER_FRAME), version=1)

    def moof(data_offset: int) -> bytes:
        flags = _SYNC_SAMPLE if is_key else _DEPENDENT_SAMPLE
        trun = _full_box(b"trun", struct.pack(">IiII", 1, data_offset, len(sample), flags), flags=0x000601)
        return _box(b"moof", head, _box(b"traf", tfhd, tfdt, trun))

    mdat_header_bytes = 8
    return moof(len(moof(0)) + mdat_header_bytes) + _box(b"mdat", sample)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a log is whole.

    Attributes:
        bytes: length of the longest prefix that ends with the init segment or a fragment; 0 if not even that is whole.
        fragments: whole fragments in it.
    """

    bytes: int
    fragments: int


def measure(log: Path) -> Extent:
    """Find where the last whole fragment of a log ends; what a crash left behind it is not counted.

    Raises:
        OSError: if the file cannot be read.
    """
    whole = Extent(0, 0)
    with log.open("rb") as file:
        size = file.seek(0, 2)
        position = 0
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            position += length
            if length < 8 or position > size:
                break
            if kind == b"moov":
                whole = Extent(position, 0)
            elif kind == b"mdat":
                whole = Extent(position, whole.fragments + 1)
    return whole


def read_init(log: Path) -> bytes:
    """ftyp + moov of a log.

    Raises:
        EncoderError: if it does not begin with them.
        OSError: if the file cannot be read.
    """
    with log.open("rb") as file:
        return _read_unit(file, b"moov")


def avcc_of(init: bytes) -> bytes:
    """The decoder's configuration (avcC) in an init segment: two streams that share it can be joined.

    Raises:
        EncoderError: if there is none.
    """
    at = init.find(b"avcC") - 4
    if at < 0:
        raise EncoderError("no avcC box in the init segment")
    return init[at : at + struct.unpack_from(">I", init, at)[0]]


def read_fragments(log: Path, count: int) -> Iterator[tuple[bytes, bool]]:
    """The first fragments of a log as `fragment` made them, with whether decoding can start there.

    Raises:
        EncoderError: if there are fewer.
        OSError: if the file cannot be read.
    """
    with log.open("rb") as file:
        _read_unit(file, b"moov")
        for _ in range(count):
            data = _read_unit(file, b"mdat")
            flags = struct.unpack_from(">I", data, _SAMPLE_FLAGS_AT)[0]
            yield data, flags == _SYNC_SAMPLE


def _read_unit(file: BinaryIO, last: bytes) -> bytes:
    """Boxes up to the first one of the type `last`, which belongs to them."""
    unit = b""
    while True:
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        body = file.read(length - 8) if length >= 8 else b""
        if not body or len(body) != length - 8:
            raise EncoderError(f"the log ends where {last.decode()} was expected")
        unit += head + body
        if kind == last:
            return unit


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full_box(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _avc1(parameters: ParameterSets, width: int, height: int) -> bytes:
    sps, pps = parameters.sps, parameters.pps
    record = struct.pack(">B3sBBH", 1, sps[1:4], 0xFC | 3, 0xE0 | 1, len(sps)) + sps  # 4-byte NAL lengths, one SPS
    record += struct.pack(">BH", 1, len(pps)) + pps
    if sps[1] in _HIGH_PROFILES:
        record += bytes((0xFC | 1, 0xF8, 0xF8, 0))  # 4:2:0, 8 bit luma and chroma, no SPS extension
    entry = bytes(6) + struct.pack(">H", 1)  # data reference 1
    entry += bytes(16) + struct.pack(">HHIIIH", width, height, 0x480000, 0x480000, 0, 1)  # 72 dpi, one frame a sample
    entry += bytes(32) + struct.pack(">Hh", 24, -1)  # no compressor name, 24 bit colour, no colour table
    colr = _box(
        b"colr", b"nclx", struct.pack(">3HB", 1, 1, 1, 0)
    )  # BT.709 primaries, transfer and matrix, limited range
    return _box(b"avc1", entry, _box(b"avcC", record), colr)


def _comment(text: str) -> bytes:
    hdlr = _full_box(b"hdlr", struct.pack(">I4s4s2IB", 0, b"mdir", b"appl", 0, 0, 0))
    data = _box(b"data", struct.pack(">II", 1, 0), text.encode())  # type 1: UTF-8
    return _box(b"udta", _full_box(b"meta", hdlr, _box(b"ilst", _box(b"\xa9cmt", data))))
