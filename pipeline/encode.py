"""Frames to H.264 fragments the moment each frame exists, and the finished log to one seekable MP4.

Owns the choice and the settings of the encoder, the colour conversion and the metadata. Knows no model, no block and
no job; never imports torch. The bytes of the container are `pipeline.mp4`'s.
"""

from __future__ import annotations

import functools
import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from pipeline import mp4
from pipeline.errors import EncoderError
from pipeline.past import Past
from pipeline.progress import Observe, Progress, ignore
from pipeline.request import SIZES

GOP_FRAMES = 12
POSTER_QUALITY = 85
SOFTWARE_ENCODER = "libx264"
HARDWARE_ENCODER = "h264_nvenc"

_LOG = logging.getLogger(__name__)
_GLOBAL_HEADER = 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER: parameter sets in extradata, not in packets

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    # Two slices whatever the machine has: the same frames then give the same bytes everywhere, and x264 leaves the
    # other cores to the model. Key frames at multiples of the GOP only.
    SOFTWARE_ENCODER: {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "crf": "20",
        "threads": "2",
        "x264-params": "sliced-threads=1:scenecut=0",
    },
    HARDWARE_ENCODER: {
        "preset": "p4",
        "tune": "ull",
        "rc": "constqp",
        "qp": "22",
        "delay": "0",
        "zerolatency": "1",
        "forced-idr": "1",
        "no-scenecut": "1",
    },
}


@dataclass(frozen=True, slots=True)
class Poster:
    """Frame 0 as a JPEG file; comes before the first fragment."""

    jpeg: bytes


@dataclass(frozen=True, slots=True)
class InitSegment:
    """First bytes of the log.

    Attributes:
        data: ftyp + moov.
        codec: RFC 6381 name, such as `avc1.42C01E`.
        encoder: `libx264` or `h264_nvenc`: the one that really encodes this clip.
    """

    data: bytes
    codec: str
    encoder: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """One frame in the log.

    Attributes:
        data: moof + mdat.
        index: number of the frame in the clip, from 0.
        pts: display time in ticks of the track, `mp4.TICKS_PER_FRAME` a frame.
        is_key: whether decoding can start here.
    """

    data: bytes
    index: int
    pts: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """Which encoder this machine uses, and why.

    Attributes:
        name: `libx264` or `h264_nvenc`.
        reason: one English sentence for logs and the status route.
    """

    name: str
    reason: str


@functools.cache
def choose_encoder() -> EncoderChoice:
    """Try the GPU's encoder once on a frame of every size offered; libx264 where it does not serve.

    Being listed by FFmpeg proves nothing: driver, free session and support for the size are only seen by encoding.

    Raises:
        EncoderError: if libx264 does not work either.
    """
    try:
        for width, height in SIZES:
            _try_one_frame(HARDWARE_ENCODER, width, height)
    except EncoderError as error:
        width, height = SIZES[0]
        _try_one_frame(SOFTWARE_ENCODER, width, height)
        return EncoderChoice(SOFTWARE_ENCODER, f"{HARDWARE_ENCODER} does not serve here: {error}")
    return EncoderChoice(HARDWARE_ENCODER, "encoded a test frame of every size offered")


def encode(
    frames: Iterable[NDArray[np.uint8]],
    *,
    width: int,
    height: int,
    fps: int,
    settings: str = "",
    observe: Observe = ignore,
    encoder: str | None = None,
    past: Past | None = None,
) -> Iterator[Poster | InitSegment | Fragment]:
    """Encode frames as they come; each is handed on as its own fragment before the next is asked for.

    Args:
        frames: arrays uint8 [n, height, width, 3], RGB (sRGB, full range), any n.
        width, height: pixels, even.
        fps: frames a second.
        settings: JSON of the request, stored in the init segment's comment; "" for none.
        observe: told `encode` after each frame (block and step 0: the encoder knows none).
        encoder: `libx264` or `h264_nvenc`; None for `choose_encoder()`'s.
        past: an earlier clip whose fragments come first, as they are; `frames` begin behind them.

    Yields:
        The init segment (before any frame is asked for, so that a player can get ready), the poster (not with a past,
        which has one), then one fragment a frame.

    Raises:
        EncoderError: if no encoder opens, a frame has another shape or type, a packet is held back, or the past was
            encoded with other parameters.
    """
    name, context = _open(encoder or choose_encoder().name, width, height, fps)
    parameters = mp4.ParameterSets.from_extradata(bytes(context.extradata or b""))
    init = mp4.init_segment(parameters, width=width, height=height, fps=fps, comment=settings)
    yield InitSegment(init, parameters.codec, name)
    index = 0
    if past is not None:
        if mp4.avcc_of(mp4.read_init(past.log)) != mp4.avcc_of(init):
            raise EncoderError(f"the earlier part was not encoded as {name} does here, so both cannot be one file")
        for index, (data, is_key) in enumerate(mp4.read_fragments(past.log, past.frames), start=1):
            yield Fragment(data, index - 1, (index - 1) * mp4.TICKS_PER_FRAME, is_key)
    converter = VideoReformatter()
    for batch in frames:
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (height, width, 3):
            raise EncoderError(
                f"frames are {batch.dtype} {list(batch.shape)}; expected uint8 [n, {height}, {width}, 3]"
            )
        for pixels in batch:
            if index == 0:
                yield Poster(_jpeg(pixels))
            packet, is_key = _encode_one(context, converter, pixels, index)
            yield Fragment(mp4.fragment(packet, index=index, is_key=is_key), index, index * mp4.TICKS_PER_FRAME, is_key)
            index += 1
            observe(Progress("encode", 0, 0, 0, 0, index))


def finish(log: Path, out: Path, settings: str) -> None:
    """Remux a log into a plain MP4 with its index in front, so that players seek in it; nothing is encoded again.

    `out` appears at once and whole (a temporary file beside it is renamed), or not at all.

    Args:
        log: init segment and at least one fragment.
        out: the file to write.
        settings: JSON of the request, stored as the comment.

    Raises:
        EncoderError: if the log cannot be read or the file not be written.
    """
    draft = out.with_name(out.name + ".part")
    try:
        with (
            av.open(str(log), format="mp4") as source,
            av.open(str(draft), "w", format="mp4", options={"movflags": "+faststart"}) as target,
        ):
            video = source.streams.video[0]
            copy = target.add_stream_from_template(video)
            target.metadata["comment"] = settings
            for packet in source.demux(video):
                if packet.dts is None:  # the demuxer's end mark
                    continue
                packet.stream = copy
                target.mux(packet)
        os.replace(draft, out)
    except (FFmpegError, OSError, IndexError) as error:
        draft.unlink(missing_ok=True)
        raise EncoderError(f"could not finish {out.name}: {error}") from error


def read_settings(path: Path) -> str | None:
    """Read the comment of an MP4, finished or partial; None if it has none.

    Raises:
        EncoderError: if the file is no readable MP4.
    """
    try:
        with av.open(str(path), format="mp4") as source:
            return source.metadata.get("comment")
    except (FFmpegError, OSError) as error:
        raise EncoderError(f"{path.name} is no readable MP4: {error}") from error


def _open(name: str, width: int, height: int, fps: int) -> tuple[str, Any]:
    try:
        return name, _context(name, width, height, fps)
    except EncoderError as error:
        if name == SOFTWARE_ENCODER:
            raise
        # It worked when it was chosen; sessions of a GPU's encoder can be used up by others since.
        _LOG.warning("%s; this clip is encoded by %s", error, SOFTWARE_ENCODER)
        return SOFTWARE_ENCODER, _context(SOFTWARE_ENCODER, width, height, fps)


def _context(name: str, width: int, height: int, fps: int) -> Any:
    try:
        context: Any = av.CodecContext.create(name, "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.framerate, context.time_base = Fraction(fps), Fraction(1, fps)
        context.gop_size, context.max_b_frames = GOP_FRAMES, 0
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        context.flags |= _GLOBAL_HEADER
        context.options = dict(_OPTIONS[name])
        context.open()
    except FFmpegError as error:
        raise EncoderError(f"{name} does not open at {width}×{height}: {error.strerror}") from error
    except ValueError as error:  # this FFmpeg was built without it
        raise EncoderError(f"{name} does not exist here: {error}") from error
    return context


def _encode_one(context: Any, converter: VideoReformatter, pixels: NDArray[np.uint8], index: int) -> tuple[bytes, bool]:
    try:
        frame = converter.reformat(
            av.VideoFrame.from_ndarray(pixels, format="rgb24"),
            format="yuv420p",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            dst_color_primaries=ColorPrimaries.BT709,
            dst_color_trc=ColorTrc.BT709,
            threads=1,
        )
        frame.pts = index
        packets = context.encode(frame)
    except FFmpegError as error:
        raise EncoderError(f"{context.name} failed at frame {index}: {error.strerror}") from error
    if len(packets) != 1:
        raise EncoderError(f"{context.name} gave {len(packets)} packets for frame {index}; expected one at once")
    return bytes(packets[0]), bool(packets[0].is_keyframe)


def _try_one_frame(name: str, width: int, height: int) -> None:
    grey = np.full((1, height, width, 3), 128, np.uint8)
    context = _context(name, width, height, 24)
    parameters = mp4.ParameterSets.from_extradata(bytes(context.extradata or b""))
    packet, is_key = _encode_one(context, VideoReformatter(), grey[0], 0)
    mp4.init_segment(parameters, width=width, height=height, fps=24)
    mp4.fragment(packet, index=0, is_key=is_key)
    _jpeg(grey[0])  # Pillow loads its codecs at the first image: 15 ms that the first job need not wait for


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=POSTER_QUALITY)
    return file.getvalue()
