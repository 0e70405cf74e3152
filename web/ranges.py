"""The first bytes of a file over HTTP, with Range, If-Range and ETag (RFC 9110).

Exists because a growing log must be served as the prefix that was whole when the request came, which a whole-file
response cannot do. Knows no job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

CHUNK_BYTES = 256 * 1024
_ONE_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` to `end`, `end` excluded."""

    start: int
    end: int


class NotSatisfiable(ValueError):
    """The range begins behind the last byte."""


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """Read a Range header; None where it is absent, malformed or of several ranges, which means: send everything.

    Raises:
        NotSatisfiable: as the class says.
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < int(first):
            return None
    if start >= size_bytes:
        raise NotSatisfiable
    return ByteRange(start, end)


def serve_prefix(
    request: Request, path: Path, size_bytes: int, *, etag: str, media_type: str, headers: Mapping[str, str]
) -> Response:
    """Answer GET or HEAD with the first `size_bytes` of a file, or the part of them that was asked for.

    Args:
        request: read for its method, Range, If-Range and If-None-Match.
        path: the file; at least `size_bytes` long, and its first bytes never change.
        size_bytes: what counts as the whole.
        etag: strong, quoted; another one for other bytes.
        media_type: Content-Type.
        headers: further headers of the answer.
    """
    common = {**headers, "etag": etag, "accept-ranges": "bytes", "content-type": media_type}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=common)
    wanted = None
    if request.headers.get("if-range", etag) == etag:
        try:
            wanted = parse_range(request.headers.get("range"), size_bytes)
        except NotSatisfiable:
            return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size_bytes}"})
    part = wanted or ByteRange(0, size_bytes)
    common["content-length"] = str(part.end - part.start)
    if wanted is not None:
        common["content-range"] = f"bytes {part.start}-{part.end - 1}/{size_bytes}"
    status = 200 if wanted is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=common)
    return StreamingResponse(_chunks(path, part), status_code=status, headers=common)


def _chunks(path: Path, part: ByteRange) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.end - part.start
        while left:
            data = file.read(min(CHUNK_BYTES, left))
            if not data:
                raise OSError(f"{path.name} is shorter than expected")
            left -= len(data)
            yield data
