"""What stages on finished latents are fed with: rings of the world's samples, a few new ones now and then.

Owns the options that say how many and of which sizes. Does not know what is learnt from them.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffusers import AutoencoderKLWan
from transformers import AutoTokenizer

from training import config
from training.latents import Drawing, Drawings, LatentRing, loader
from training.session import Session


@dataclass(frozen=True, slots=True)
class Supply:
    """Samples of each size, and where new ones come from."""

    rings: list[LatentRing]
    drawings: Iterator[Drawing]
    vae: AutoencoderKLWan

    def refresh(self, chance: random.Random) -> None:
        """One drawing more for one of the sizes."""
        chance.choice(self.rings).add(self.vae, next(self.drawings))


def supply(
    args: argparse.Namespace, session: Session, vae: AutoencoderKLWan, *, images: bool, faint: float = 0.0
) -> Supply:
    """Drawn anew with its first samples: images, or clips of which half are far ones; `faint` as of `Drawings`."""
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    seed, count = args.seed * 1000 + session.rank + 77, args.clips * (8 if images else 1)
    source = Drawings(tokenizer, seed=seed, clips=count, captions=8, far=None if images else 0.5, faint=faint)
    drawings = loader(source, args.workers)
    rings: list[LatentRing] = []
    for number, text in enumerate(args.sizes):
        held = args.drawings if number == 0 else max(1, args.drawings // 6)
        ring = LatentRing(config.Size.parse(text), 4 * count * held, session.device, images=images)
        for _ in range(held):
            ring.add(vae, next(drawings))
        rings.append(ring)
    return Supply(rings, drawings, vae)


def batch_size(args: argparse.Namespace, ring: LatentRing) -> int:
    """Samples of a ring whose first frames, or one block of each, make `--tokens`."""
    height, width = ring.size.latent
    return max(1, round(args.tokens / ((1 if ring.images else config.BLOCK_LATENTS) * height * width / 4)))


def new_supply_parser(description: str | None) -> argparse.ArgumentParser:
    """Of the run, its time and its samples."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--folder", type=Path, required=True, help="of the run: vae.pt and flow/ are read, results are written"
    )
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--max-steps", type=int, default=10**9)
    sizes = ["768x448", "1024x576", "576x1024", "1280x736"]
    parser.add_argument("--sizes", nargs="+", default=sizes, help="the main one first")
    parser.add_argument("--tokens", type=int, default=24_000, help="of the latents that a step learns from")
    parser.add_argument("--clips", type=int, default=12, help="clips rendered at once")
    parser.add_argument("--drawings", type=int, default=12, help="drawings of the main size before the first step")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--compile", choices=("no", "static", "dynamic"), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser
