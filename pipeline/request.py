"""What a person asked for: validated, frozen, free of torch.

Owns the offered values and their limits. Does not know models, styles' contents or the UI; a default that belongs to
a checkpoint (steps, guidance) is `None` here and filled from the checkpoint's own specification.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import RequestError

SIZES: tuple[tuple[int, int], ...] = ((768, 432), (1024, 576), (576, 1024), (1280, 720))
SECONDS: tuple[int, ...] = (2, 4, 6, 8)
FPS: tuple[int, ...] = (24, 30)
MAX_PROMPT_CHARS = 2000
MAX_SEED = 2**32 - 1
MAX_BATCH_SIZE = 4
MAX_STEPS = 100
MAX_EARLIER_SECONDS = 120
MAX_PROMPT_CHANGES = 32


@dataclass(frozen=True, slots=True)
class PromptChange:
    """Another prompt from a frame on.

    Attributes:
        frame: index in the clip; the prompt takes effect with the first block that begins there or later.
        prompt: as `VideoRequest.prompt`.
    """

    frame: int
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest:
    """One clip as a person asked for it.

    Args:
        prompt: Chinese or English, weights as `(word:1.3)`; 1 to 2000 characters.
        negative_prompt: what to avoid; at most 2000 characters.
        style: name of a style (see `styles.load_styles`), or "" for none.
        width, height: pixels; one of `SIZES`.
        seconds: one of `SECONDS`.
        fps: one of `FPS`.
        guidance_scale: 1 to 20, or None for the checkpoint's own value.
        denoise_strength: above 0, at most 1; how much of a later block's schedule runs.
        seed: 0 to 2**32 - 1, or -1 for a random one (see `with_seed`).
        num_inference_steps: 1 to 100, or None for the checkpoint's own value.
        batch_size: 1 to 4 clips with consecutive seeds (see `clips`).
        prompt_changes: other prompts from later frames on, at most 32, frames rising from 1 to the last one.
        earlier_seconds: seconds of the clip ahead of `seconds`, 0 to 120: more than 0 where it goes on from another.

    Raises:
        RequestError: names the field, what was given and what is allowed.
    """

    prompt: str
    negative_prompt: str = ""
    style: str = ""
    width: int = 768
    height: int = 432
    seconds: int = 4
    fps: int = 24
    guidance_scale: float | None = None
    denoise_strength: float = 0.75
    seed: int = -1
    num_inference_steps: int | None = None
    batch_size: int = 1
    prompt_changes: tuple[PromptChange, ...] = ()
    earlier_seconds: int = 0

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt", "style"):
            _require(isinstance(getattr(self, name), str), name, getattr(self, name), "text", "文本")
        _prompt("prompt", self.prompt)
        _length("negative_prompt", self.negative_prompt)
        for name in ("width", "height", "seconds", "fps", "seed", "batch_size", "earlier_seconds"):
            _whole(name, getattr(self, name))
        self.require_size(SIZES)
        _one_of("seconds", self.seconds, SECONDS)
        _one_of("fps", self.fps, FPS)
        _within("seed", self.seed, -1, MAX_SEED)
        _within("batch_size", self.batch_size, 1, MAX_BATCH_SIZE)
        _within("earlier_seconds", self.earlier_seconds, 0, MAX_EARLIER_SECONDS)
        _within("denoise_strength", self.denoise_strength, 0.1, 1.0)
        if self.guidance_scale is not None:
            _within("guidance_scale", self.guidance_scale, 1.0, 20.0)
        if self.num_inference_steps is not None:
            _whole("num_inference_steps", self.num_inference_steps)
            _within("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS)
        self._check_changes()

    def require_size(self, sizes: Collection[tuple[int, int]]) -> None:
        """Refuse a size that is not on offer.

        Raises:
            RequestError: names the ones that are.
        """
        listed = ", ".join(f"{width}×{height}" for width, height in sizes)
        is_offered, given = (self.width, self.height) in sizes, f"{self.width}×{self.height}"
        _require(is_offered, "size", given, f"one of {listed}", f"{listed} 之一")

    def _check_changes(self) -> None:
        field, limit = "prompt_changes", MAX_PROMPT_CHANGES
        _require(
            len(self.prompt_changes) <= limit, field, len(self.prompt_changes), f"at most {limit}", f"最多 {limit} 次"
        )
        earliest = 1
        for change in self.prompt_changes:
            _whole(field, change.frame)
            _within(field, change.frame, earliest, self.num_frames - 1)
            _prompt(field, change.prompt)
            earliest = change.frame + 1

    @property
    def num_frames(self) -> int:
        """Frames of the delivered file."""
        return (self.earlier_seconds + self.seconds) * self.fps

    def with_seed(self) -> VideoRequest:
        """The same request with a definite seed: a random one where it was -1."""
        return self if self.seed >= 0 else dataclasses.replace(self, seed=secrets.randbelow(MAX_SEED + 1))

    def clips(self) -> tuple[VideoRequest, ...]:
        """One request a clip of the batch, with definite, consecutive seeds."""
        first = self.with_seed()
        return tuple(
            dataclasses.replace(first, seed=(first.seed + i) % (MAX_SEED + 1), batch_size=1)
            for i in range(self.batch_size)
        )

    def with_change(self, change: PromptChange) -> VideoRequest:
        """The same request with another prompt from a frame on, in place of what was planned for just that frame.

        Raises:
            RequestError: the frame or the prompt is none of this clip.
        """
        others = [other for other in self.prompt_changes if other.frame != change.frame]
        changes = tuple(sorted([*others, change], key=lambda one: one.frame))
        return dataclasses.replace(self, prompt_changes=changes)

    def to_json(self) -> str:
        """All fields as one JSON object, keys in field order."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> VideoRequest:
        """Build from untrusted fields (HTTP, a preset, MP4 metadata).

        Raises:
            RequestError: for an unknown or missing field as for a bad value.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for name in fields:
            allowed = ", ".join(sorted(known))
            _require(name in known, str(name), "unknown field", f"one of {allowed}", f"{allowed} 之一")
        _require("prompt" in fields, "prompt", "missing", "required", "必填")
        given: dict[str, Any] = dict(fields)
        given["prompt_changes"] = _changes(given.get("prompt_changes", ()))
        return cls(**given)


def _require(ok: bool, field: str, given: object, allowed: str, allowed_zh: str) -> None:
    if not ok:
        raise RequestError(field, given, allowed, allowed_zh)


def _changes(given: Any) -> tuple[PromptChange, ...]:
    allowed, allowed_zh = "a list of {frame, prompt}", "由 {frame, prompt} 组成的列表"
    field = "prompt_changes"
    _require(isinstance(given, list | tuple), field, given, allowed, allowed_zh)
    for change in given:
        _require(isinstance(change, Mapping) and set(change) == {"frame", "prompt"}, field, change, allowed, allowed_zh)
        _require(isinstance(change["prompt"], str), field, change["prompt"], "text", "文本")
    return tuple(PromptChange(**change) for change in given)


def _prompt(field: str, text: str) -> None:
    _require(bool(text.strip()), field, text, "not empty", "不能为空")
    _length(field, text)


def _length(field: str, text: str) -> None:
    limit = MAX_PROMPT_CHARS
    _require(len(text) <= limit, field, f"{len(text)}", f"at most {limit} characters", f"最多 {limit} 个字符")


def _one_of(field: str, value: int, allowed: tuple[int, ...]) -> None:
    listed = ", ".join(map(str, allowed))
    _require(value in allowed, field, value, f"one of {listed}", f"{listed} 之一")


def _whole(field: str, value: object) -> None:
    _require(isinstance(value, int) and not isinstance(value, bool), field, value, "a whole number", "整数")


def _within(field: str, value: object, low: float, high: float) -> None:
    ok = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high  # NaN is never within
    _require(ok, field, value, f"a number from {low:g} to {high:g}", f"{low:g} 到 {high:g} 之间的数")
