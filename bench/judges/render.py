"""Clips for judges to learn from: drawn by the world, reduced to the judges' size, kept as bytes.

Owns the distribution of training clips, the round trip through a checkpoint's autoencoder, and the folder of shards in
which a CPU keeps what it has drawn. Does not know networks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.judges.labels import FPS, FRAME_OFFSETS, HEIGHT, SPAN, WIDTH, labels
from training.attributes import NO_STYLE
from training.autoencode import decode_frames, encode_moments
from training.config import FRAMES_PER_LATENT
from training.scene import Scene, sample_scene
from training.world import render

CLIP_SECONDS = 8.0
FROM_THE_START = 0.35  # of the windows begin at time 0, where every clip begins
PLAIN_KEPT = 0.35  # nearly half of the world's scenes are plain ones: more than a judge needs
SHARD_CLIPS = 256
TRUE_SIZE = (768, 448)
"""What a 768 x 432 clip is made at before it is cut: sides in multiples of the latent grid."""


def sample(rng: random.Random, clips: int, *, held_out: bool) -> tuple[list[Scene], Tensor]:
    """Scenes, and the seconds [clips] at which their windows begin."""
    scenes: list[Scene] = []
    while len(scenes) < clips:
        scene = sample_scene(rng, held_out=held_out)
        plain = scene.scene == "studio" and scene.style == NO_STYLE and scene.time_of_day == "day"
        if not plain or rng.random() < PLAIN_KEPT:
            scenes.append(scene)
    last = CLIP_SECONDS - SPAN / FPS
    starts = [0.0 if rng.random() < FROM_THE_START else rng.uniform(0.0, last) for _ in scenes]
    return scenes, torch.tensor(starts)


def draw(scenes: Sequence[Scene], starts: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """The judges' view of each window, and the answers. It is drawn at the judges' size: the world is anti-aliased,
    and a picture of four times the size, reduced, differs by less than one 8-bit level.

    Args:
        starts: seconds [B] at which the windows begin.

    Returns:
        uint8 [B, frames, 3, HEIGHT, WIDTH] on the device, and labels int8 [B, heads] on the CPU.
    """
    times = starts[:, None] + torch.tensor(FRAME_OFFSETS) / FPS
    clips = render(scenes, times.to(device), height=HEIGHT, width=WIDTH, device=device)
    return to_judge(clips.transpose(1, 2)), labels(scenes, times)


@torch.no_grad()
def draw_through(
    vae: AutoencoderKLWan, scenes: Sequence[Scene], starts: Tensor, device: torch.device, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """As `draw`, at a full size and through the autoencoder and back, in its own precision; clip by clip.

    Args:
        size: width and height, multiples of the autoencoder's grid.
    """
    frames = 1 + -(-(SPAN - 1) // FRAMES_PER_LATENT) * FRAMES_PER_LATENT
    times = starts[:, None] + torch.arange(frames) / FPS
    seen: list[Tensor] = []
    for row, scene in enumerate(scenes):
        truth = render([scene], times[row : row + 1].to(device), height=size[1], width=size[0], device=device)
        again = decode_frames(vae, encode_moments(vae, truth.to(vae.dtype))[0])
        seen.append(to_judge(again[:, :, list(FRAME_OFFSETS)].transpose(1, 2)))
    return torch.cat(seen), labels(scenes, times[:, list(FRAME_OFFSETS)])


def to_judge(frames: Tensor) -> Tensor:
    """Frames [..., 3, H, W] in [-1, 1] to the judges' size: uint8 [..., 3, HEIGHT, WIDTH]."""
    flat = frames.reshape(-1, *frames.shape[-3:]).float()
    if flat.shape[-2:] != (HEIGHT, WIDTH):
        flat = F.interpolate(flat, (HEIGHT, WIDTH), mode="area")
    small = (flat * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
    return small.view(*frames.shape[:-3], 3, HEIGHT, WIDTH)


def fill(folder: Path, clips: int, seed: int) -> None:
    """Draw shards on the CPU until the folder has this many clips; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(-(-clips // SHARD_CLIPS)):
        path = folder / f"{number:05d}.safetensors"
        if path.exists():
            continue
        scenes, starts = sample(random.Random(seed * 1_000_003 + number), SHARD_CLIPS, held_out=False)
        drawn, answers = draw(scenes, starts, torch.device("cpu"))
        partial = path.with_suffix(".partial")
        save_file({"clips": drawn, "labels": answers}, partial)
        partial.replace(path)


def read(path: Path) -> tuple[Tensor, Tensor]:
    """The clips and labels of one shard."""
    shard = load_file(path)
    return shard["clips"], shard["labels"]
