"""The procedural world: scenes at random (`sample_scene`) and their moving pictures (`render`, `draw`).

Owns the order in which a picture is made (backdrop, fog, subjects, weather, style) and its batching: clips are grouped
by what they share, so that each stage runs once a kind and not once a clip. Does not know captions or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from training.backdrops import paint_backdrop
from training.compose import draw_subjects, pose
from training.looks import apply_look
from training.scene import EXAMPLES, Scene, is_held_out, sample_scene
from training.view import View, make_view
from training.weather import fall, haze

__all__ = ["EXAMPLES", "Scene", "draw", "is_held_out", "render", "sample_scene"]

MAX_GROUP_PIXELS = 12_000_000  # about 1.5 GB of float32 intermediates


def render(scenes: Sequence[Scene], times: Tensor, *, height: int, width: int, device: torch.device) -> Tensor:
    """The images of `draw`."""
    return draw(scenes, times, height=height, width=width, device=device)[0]


@torch.no_grad()
def draw(
    scenes: Sequence[Scene], times: Tensor, *, height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Draw clips.

    Args:
        scenes: B scenes.
        times: seconds [B, F], float; any times, each clip its own.
        height, width: pixels; any aspect ratio.
        device: where to draw; the result stays there.

    Returns:
        float16 [B, 3, F, H, W], RGB in [-1, 1]; the same scene and time give the same picture on the same device. And
        the distance to the subjects in world units, float16 [B, F, H, W], negative inside, 1 where there is none.

    Raises:
        ValueError: if the number of scenes does not fit `times`, or a size is not positive.
    """
    if times.ndim != 2 or times.shape[0] != len(scenes) or not scenes:
        raise ValueError(f"times {tuple(times.shape)}: one row for each of {len(scenes)} scenes, at least one")
    if height < 1 or width < 1:
        raise ValueError(f"size {width}×{height}: positive")
    times = times.to(device=device, dtype=torch.float32)
    frames = times.shape[1]
    image = torch.empty(len(scenes), 3, frames, height, width, dtype=torch.float16, device=device)
    distance = torch.full((len(scenes), frames, height, width), 1.0, dtype=torch.float16, device=device)

    def parts(key: Callable[[Scene], str]) -> Iterator[tuple[list[int], int, slice, View]]:
        yield from _groups(scenes, times, key, height, width)

    for rows, _, span, view in parts(lambda scene: scene.scene):
        image[rows, :, span] = haze(view, paint_backdrop(view)).half()
    for rows, _, span, view in parts(pose):
        if pose(view.scenes[0]):
            painted, signed = draw_subjects(view, image[rows, :, span].float())
            image[rows, :, span] = painted.half()
            distance[rows, span] = signed.half()
    for rows, _, span, view in parts(lambda scene: "" if scene.weather == "clear" else scene.weather):
        if view.scenes[0].weather != "clear":
            image[rows, :, span] = fall(view, image[rows, :, span].float()).half()
    for rows, _, span, view in parts(lambda scene: scene.style):
        styled = apply_look(view, image[rows, :, span].float(), distance[rows, span].float())
        image[rows, :, span] = (styled.clamp(0.0, 1.0) * 2.0 - 1.0).half()
    return image, distance


def _groups(
    scenes: Sequence[Scene], times: Tensor, key: Callable[[Scene], str], height: int, width: int
) -> Iterator[tuple[list[int], int, slice, View]]:
    """Clips with the same key, in pieces that fit into memory: their numbers, count, span of frames, and view."""
    groups: dict[str, list[int]] = {}
    for number, scene in enumerate(scenes):
        groups.setdefault(key(scene), []).append(number)
    frames = times.shape[1]
    span_frames = max(1, min(frames, MAX_GROUP_PIXELS // (height * width)))
    clips = max(1, MAX_GROUP_PIXELS // (height * width * span_frames))
    for members in groups.values():
        for first in range(0, len(members), clips):
            rows = members[first : first + clips]
            for start in range(0, frames, span_frames):
                span = slice(start, min(frames, start + span_frames))
                yield rows, len(rows), span, make_view([scenes[i] for i in rows], times[rows, span], height, width)
