"""The best that a clip could be: the prompt's own scene, drawn by the world, through the autoencoder and back.

Owns the drawing at the model's own size, the round trip and the autoencoder's fidelity by style and size.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from bench.judges.labels import FPS, SPAN
from bench.judges.network import Judge
from bench.quality.measure import Measured, flicker, psnr, read_windows, sharpness, window_starts
from training.attributes import STYLES
from training.autoencode import decode_frames, encode_moments
from training.config import FRAMES_PER_LATENT
from training.scene import Scene, sample_scene
from training.world import render

CELL = 32  # pixels: the model's frames are multiples of it, and cut to the asked size
_WARM_UP = 8  # frames before a window, so that the causal autoencoder has a past


class TruthRenderer:
    """Scenes as the model's own autoencoder shows them.

    Args:
        vae: in the precision that it shall run in.
    """

    def __init__(self, vae: AutoencoderKLWan, device: torch.device) -> None:
        self._vae, self._device = vae, device

    @torch.no_grad()
    def clip(self, scene: Scene, size: tuple[int, int], first: int, frames: int) -> tuple[Tensor, Tensor]:
        """Frames `first` … of a clip at 24 frames a second, as drawn and after the round trip: [3, F, H, W] in [-1, 1].

        Args:
            size: width and height of what is delivered.
        """
        begin = max(0, first - _WARM_UP)
        length = 1 + -(-(first - begin + frames - 1) // FRAMES_PER_LATENT) * FRAMES_PER_LATENT
        times = (begin + torch.arange(length, device=self._device))[None] / FPS
        width, height = (-(-side // CELL) * CELL for side in size)
        drawn = render([scene], times, height=height, width=width, device=self._device)
        again = decode_frames(self._vae, encode_moments(self._vae, drawn.to(self._vae.dtype))[0]).clamp(-1, 1)
        span = slice(first - begin, first - begin + frames)
        drawn, again = (x[0, :, span, : size[1], : size[0]].float() for x in (drawn, again))
        return drawn, again

    def measure(self, scene: Scene, size: tuple[int, int], num_frames: int, judge: Judge) -> Measured:
        """As `measure.measure` of a clip of this scene; what belongs to blocks is 0, because there are none."""
        starts = window_starts(num_frames)
        windows = [to_bytes(self.clip(scene, size, start, SPAN)[1]) for start in starts.values()]
        read, features = read_windows(windows, judge, self._device)
        return Measured(
            log_probabilities=dict(zip(starts, read, strict=True)),
            features=dict(zip(starts, features, strict=True)),
            flicker=flicker(windows[0], self._device),
            sharpness=sharpness(windows[0][::6], self._device),
            motion=0.0,
            border_change=0.0,
            inside_change=0.0,
            block_change=0.0,
        )

    def psnr_by_style(self, sizes: Sequence[tuple[int, int]], clips: int, frames: int) -> dict[str, dict[str, float]]:
        """Mean PSNR in dB of round trips of held-out clips by style, then by size such as "768x432"."""
        found: dict[str, dict[str, float]] = {}
        for style in STYLES:
            scenes = held_out_of_style(style, clips)
            found[style] = {}
            for size in sizes:
                values = [psnr(*self.clip(scene, size, 0, frames)) for scene in scenes]
                found[style][f"{size[0]}x{size[1]}"] = round(sum(values) / len(values), 2)
        return found


def held_out_of_style(style: str, count: int, seed: int = 11) -> list[Scene]:
    """Held-out scenes of one style, always the same."""
    rng, found = random.Random(f"{seed} {style}"), list[Scene]()
    while len(found) < count:
        scene = sample_scene(rng, held_out=True)
        if scene.style == style:
            found.append(dataclasses.replace(scene))
    return found


def to_bytes(clip: Tensor) -> Tensor:
    """[3, F, H, W] in [-1, 1] to uint8 [F, H, W, 3]."""
    return (clip * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0)
