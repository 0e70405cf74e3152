"""The two presets that are always there, and reading a person's own from JSON or from an MP4.

Owns what a preset file may hold: any of `VideoRequest`'s fields. Does not know the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.encode import read_settings
from pipeline.errors import EncoderError, RequestError
from pipeline.request import VideoRequest

FULL = "wan2.2_文生视频"
LIGHT = "wan2.2_文生视频_轻量"
MAX_PRESET_BYTES = 64 * 1024

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        FULL: MappingProxyType({"width": 1280, "height": 720, "seconds": 6, "fps": 24, "denoise_strength": 0.75}),
        LIGHT: MappingProxyType({"width": 768, "height": 432, "seconds": 4, "fps": 24, "denoise_strength": 0.75}),
    }
)


def default_preset(has_gpu: bool) -> str:
    """The preset that a page starts with: the full one on a GPU, the light one to try prompts without."""
    return FULL if has_gpu else LIGHT


def check(fields: object) -> dict[str, Any]:
    """Settings as read from a file, every value checked; a preset may leave any field out, the prompt too.

    Raises:
        RequestError: not an object, an unknown field, or a value outside what is offered.
    """
    if not isinstance(fields, dict):
        raise RequestError("preset", type(fields).__name__, "a JSON object of settings", "由设置组成的 JSON 对象")
    VideoRequest.from_mapping({"prompt": "a", **fields})
    return dict(fields)


def read(path: Path) -> dict[str, Any]:
    """The settings in a preset's JSON file or in the metadata of an MP4 made here.

    Raises:
        RequestError: the file is neither, or a setting is outside what is offered.
    """
    if path.suffix.lower() == ".mp4":
        try:
            settings = read_settings(path)
        except EncoderError:
            settings = None
        if settings is None:
            raise RequestError("preset", path.name, "an MP4 made by this app", "由本应用生成的 MP4")
    else:
        if path.stat().st_size > MAX_PRESET_BYTES:
            raise RequestError(
                "preset", path.name, f"at most {MAX_PRESET_BYTES} bytes", f"最多 {MAX_PRESET_BYTES} 字节"
            )
        settings = path.read_bytes().decode("utf-8", errors="replace")
    try:
        fields = json.loads(settings)
    except json.JSONDecodeError as error:
        raise RequestError("preset", path.name, "valid JSON", "有效的 JSON") from error
    return check(fields)
