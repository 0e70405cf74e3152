"""Requests to readings, remembered on disk: what was measured once for the same weights and judge is not made again.

Owns the cache (an ignored folder) and the strips of small pictures that contact sheets are made of.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bench.judges.network import Judge
from bench.quality.make import Maker, alike
from bench.quality.measure import Measured, measure, to_small
from bench.quality.prompts import Prompt
from bench.quality.truth import TruthRenderer
from pipeline.blocks import Grid
from pipeline.request import VideoRequest

STRIP_FRAMES = 4
Note = Callable[[str], None]


class Runner:
    """Measures requests.

    Args:
        identity: names all that a reading depends on besides the request (weights, judge, way of making).
        cache: folder for readings and strips.
        note: told about each clip that was made.
        is_complete: nothing may be made: the readings are another machine's.
    """

    def __init__(
        self,
        maker: Maker,
        grid: Grid,
        judge: Judge,
        cache: Path,
        identity: str,
        note: Note,
        *,
        is_complete: bool = False,
    ) -> None:
        self.maker, self._grid, self._judge, self._note = maker, grid, judge, note
        self._is_complete = is_complete
        self._folder = cache / _digest(identity)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._device = next(judge.parameters()).device

    def measured(self, requests: Sequence[VideoRequest]) -> list[Measured]:
        """Readings in the order of the requests.

        Raises:
            FileNotFoundError: one is missing, and nothing may be made.
        """
        missing = [request for request in dict.fromkeys(requests) if not self._path(request, "json").exists()]
        if missing and self._is_complete:
            raise FileNotFoundError(f"{len(missing)} readings are not in {self._folder}")
        for group in alike(missing):
            some = [missing[index] for index in group]
            for number, (request, frames) in enumerate(zip(some, self.maker.make(some), strict=True), start=1):
                found = measure(frames, self.maker.plan(request), self._grid, self._judge)
                _save_strip(frames, self._path(request, "jpg"), self._device)
                _write(self._path(request, "json"), found.to_json())
                self._note(f"{number}/{len(some)} {request.seconds} s {request.prompt[:40]}")
        return [Measured.from_json(_read(self._path(request, "json"))) for request in requests]

    def strip(self, request: VideoRequest) -> Image.Image:
        """A measured clip as `STRIP_FRAMES` small pictures side by side."""
        return Image.open(self._path(request, "jpg"))

    def _path(self, request: VideoRequest, suffix: str) -> Path:
        return self._folder / f"{_digest(request.to_json())}.{suffix}"


class Ceilings:
    """Measures the prompts' own scenes; arguments as `Runner`."""

    def __init__(self, renderer: TruthRenderer, judge: Judge, cache: Path, identity: str, note: Note) -> None:
        self._renderer, self._judge, self._note = renderer, judge, note
        self._folder = cache / _digest(identity)
        self._folder.mkdir(parents=True, exist_ok=True)

    def measured(self, prompt: Prompt, size: tuple[int, int], num_frames: int) -> Measured:
        """The reading of one prompt's scene."""
        key = json.dumps([dataclasses.asdict(prompt.scene), size, num_frames], sort_keys=True)
        path = self._folder / f"{_digest(key)}.json"
        if not path.exists():
            _write(path, self._renderer.measure(prompt.scene, size, num_frames, self._judge).to_json())
            self._note(f"ceiling {prompt.text[:40]}")
        return Measured.from_json(_read(path))


def weights_digest(paths: Iterable[Path]) -> str:
    """Names the contents of files."""
    made = hashlib.sha256()
    for path in sorted(paths):
        made.update(path.name.encode())
        made.update(path.read_bytes())
    return made.hexdigest()[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _save_strip(frames: Tensor, path: Path, device: torch.device) -> None:
    chosen = torch.linspace(0, len(frames) - 1, STRIP_FRAMES).round().long()
    small = to_small(frames[chosen], device).to(torch.uint8).permute(2, 0, 3, 1).flatten(1, 2)
    Image.fromarray(small.cpu().numpy()).save(path, quality=85)


def _write(path: Path, fields: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(fields), encoding="utf-8")
    partial.replace(path)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
