"""A first measure of obedience: colour and direction of single subjects in a plain studio, read from pixels.

Owns the prompts and the two readings. The full judges are `bench.quality`'s. The ceiling is the world's own clips, read
in the same way after a round trip through the autoencoder.

    python -m training.evaluate --folder .train/run --networks flow --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from transformers import AutoTokenizer

from training import config
from training.autoencode import decode_frames, encode_moments
from training.networks import load_networks
from training.sampler import Sampling
from training.samples import make_clips
from training.scene import Scene
from training.vae import load_vae
from training.world import render

HUES: dict[str, tuple[str, float, float]] = {  # Chinese name; hue in degrees, from and to
    "red": ("红色", -16, 14),
    "yellow": ("黄色", 40, 66),
    "green": ("绿色", 85, 160),
    "blue": ("蓝色", 195, 250),
    "purple": ("紫色", 255, 300),
    "orange": ("橙色", 14, 40),
}
SUBJECTS: dict[str, str] = {"ball": "一只{}的球", "car": "一辆{}的汽车", "cat": "一只{}的猫", "box": "一个{}的箱子"}
MOTIONS: dict[str, tuple[str, str]] = {
    "right": ("{}从左向右移动", "a {} moving from left to right"),
    "left": ("{}从右向左移动", "a {} moving from right to left"),
}
Reading = tuple[str, str]
"""Colour and direction that were seen."""
MIN_SATURATION = 0.35
MIN_SHIFT = 0.02
"""Of the frame's width: less counts as no motion."""


@dataclass(frozen=True, slots=True)
class SimplePrompt:
    """A prompt with what it must show."""

    text: str
    subject: str
    colour: str
    direction: str

    @property
    def scene(self) -> Scene:
        """A scene of the world that it describes."""
        x = -0.4 if self.direction == "right" else 0.4
        return Scene(self.subject, self.colour, motion=self.direction, x=x)


def simple_prompts() -> list[SimplePrompt]:
    """Every colour, subject and direction, in Chinese and English: 96 prompts."""
    made: list[SimplePrompt] = []
    for colour, (chinese, _, _) in HUES.items():
        for subject, words in SUBJECTS.items():
            for direction, (zh, en) in MOTIONS.items():
                made.append(SimplePrompt(zh.format(words.format(chinese)), subject, colour, direction))
                made.append(SimplePrompt(en.format(f"{colour} {subject}"), subject, colour, direction))
    return made


def read_colour(clip: Tensor) -> str:
    """The hue that most saturated pixels of the middle frame have, or "none"; clip is [3, F, H, W] in [-1, 1]."""
    hue, saturated = _hue(clip[:, clip.shape[1] // 2])
    counts = {name: int((_within(hue, low, high) & saturated).sum()) for name, (_, low, high) in HUES.items()}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] > 0.003 * saturated.numel() else "none"


def read_direction(clip: Tensor, colour: str) -> str:
    """Where the pixels of a colour go between a quarter and the end of the clip: "left", "right" or "still"."""
    _, low, high = HUES[colour]
    centres: list[float] = []
    for index in torch.linspace(0, clip.shape[1] - 1, 9).round().long().tolist():
        hue, saturated = _hue(clip[:, index])
        mask = (_within(hue, low, high) & saturated).float()
        if mask.sum() > 0.002 * mask.numel():
            columns = torch.linspace(0, 1, mask.shape[1], device=mask.device)
            centres.append(float((mask * columns).sum() / mask.sum()))
    if len(centres) < 2 or abs(centres[-1] - centres[0]) < MIN_SHIFT:
        return "still"
    return "right" if centres[-1] > centres[0] else "left"


def _hue(frame: Tensor) -> tuple[Tensor, Tensor]:
    """Hue in degrees [H, W] and which pixels are saturated and bright enough to have one."""
    red, green, blue = ((frame + 1) / 2).clamp(0, 1)
    top, bottom = frame.amax(0) / 2 + 0.5, frame.amin(0) / 2 + 0.5
    spread = (top - bottom).clamp(min=1e-6)
    sector = torch.where(
        top == red,
        (green - blue) / spread,
        torch.where(top == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    saturated = (spread / top.clamp(min=1e-6) > MIN_SATURATION) & (top > 0.2)
    return sector * 60, saturated


def _within(hue: Tensor, low: float, high: float) -> Tensor:
    return (hue - low) % 360 < high - low


def read(clip: Tensor, colour: str) -> Reading:
    """The colour of a clip and where pixels of the wanted colour go."""
    return read_colour(clip), read_direction(clip, colour)


def shares(readings: Sequence[Reading], prompts: Sequence[SimplePrompt]) -> dict[str, float]:
    """Parts of the readings that are what the prompts want: colour, direction, both."""
    colours = [reading[0] == prompt.colour for reading, prompt in zip(readings, prompts, strict=True)]
    ways = [reading[1] == prompt.direction for reading, prompt in zip(readings, prompts, strict=True)]
    both = [a and b for a, b in zip(colours, ways, strict=True)]
    return {name: round(sum(v) / len(v), 4) for name, v in (("colour", colours), ("direction", ways), ("both", both))}


def score(clips: Tensor, prompts: list[SimplePrompt]) -> dict[str, float]:
    """Shares of clips [B, 3, F, H, W] that show the prompt's colour, its direction, and both."""
    return shares([read(clip, prompt.colour) for clip, prompt in zip(clips, prompts, strict=True)], prompts)


def main() -> None:
    """Generate, read, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--networks", default="flow")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--size", default="768x448")
    parser.add_argument("--latents", type=int, default=13)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--shift", type=float, default=3.0)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--strength", type=float, default=0.75)
    parser.add_argument("--every", type=int, default=1, help="take one prompt of so many")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = load_networks(args.folder / args.networks, device).requires_grad_(False)
    vae, tokenizer = load_vae(args.folder, device), AutoTokenizer.from_pretrained(args.tokenizer)
    size, prompts = config.Size.parse(args.size), simple_prompts()[:: args.every]
    sampling = Sampling(args.steps, args.shift, args.guidance, args.strength)
    made: list[Tensor] = []
    for start in range(0, len(prompts), args.batch):
        texts = [prompt.text for prompt in prompts[start : start + args.batch]]
        made.append(make_clips(networks, vae, tokenizer, texts, size, args.latents, sampling, args.seed + start).half())
    true = [_round_trip(vae, prompt.scene, size, args.latents, device) for prompt in prompts]
    found = {"prompts": len(prompts), "value": score(torch.cat(made).float(), prompts)}
    print(json.dumps(found | {"ceiling": score(torch.cat(true), prompts)}))


@torch.no_grad()
def _round_trip(vae: AutoencoderKLWan, scene: Scene, size: config.Size, latents: int, device: torch.device) -> Tensor:
    times = torch.arange(1 + config.FRAMES_PER_LATENT * (latents - 1), device=device)[None] / config.FPS
    frames = render([scene], times, height=size.height, width=size.width, device=device).float()
    return decode_frames(vae, encode_moments(vae, frames)[0]).clamp(-1, 1).cpu()


if __name__ == "__main__":
    main()
