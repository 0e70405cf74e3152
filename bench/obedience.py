"""Whether the shipped model does what simple prompts say: colour and direction, from the pixels of real runs.

Owns the loop. The prompts and the two readings are `training.evaluate`'s; the clips come from the walk that everybody
uses, with its default settings. The ceiling is what the readings say of the world's own clips; the floor is the made
clips held against other prompts.

    python -m bench.obedience --every 3 --save obedience_cpu
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.report import add_save, emit
from pipeline import Model, VideoRequest, generate, load_model
from training.evaluate import Reading, SimplePrompt, read, shares, simple_prompts
from training.world import render


def make(model: Model, prompt: SimplePrompt, args: argparse.Namespace, seed: int) -> Tensor:
    """A clip by the walk: [3, F, H, W] in [-1, 1]."""
    request = VideoRequest(prompt=prompt.text, seconds=2, seed=seed)
    if args.strength is not None:
        request = dataclasses.replace(request, denoise_strength=args.strength)
    frames = np.concatenate([some.pixels for some in generate(request, model)])
    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1


def truth(prompt: SimplePrompt, frames: int) -> Tensor:
    """The world's own clip of a prompt, [3, F, H, W]."""
    times = torch.arange(frames)[None] / 24
    return render([prompt.scene], times, height=432, width=768, device=torch.device("cpu"))[0].float()


def main() -> None:
    """Make, read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="as in app.py; the embedded model where not given")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--every", type=int, default=1, help="take one prompt of so many")
    parser.add_argument("--strength", type=float, help="denoise_strength, where not the default")
    parser.add_argument("--seed", type=int, default=0)
    add_save(parser)
    args = parser.parse_args()
    model, prompts = load_model(args.model, backend=args.backend), simple_prompts()[:: args.every]
    made: list[Reading] = []
    true: list[Reading] = []
    runs: list[dict[str, Any]] = []
    for number, prompt in enumerate(prompts):
        clip = make(model, prompt, args, args.seed + number)
        made.append(read(clip, prompt.colour))
        true.append(read(truth(prompt, clip.shape[1]), prompt.colour))
        runs.append({"prompt": prompt.text, "wanted": [prompt.colour, prompt.direction], "seen": made[-1]})
        print(runs[-1], flush=True)
    figures = {
        "num_prompts": len(prompts),
        "value": shares(made, prompts),
        "ceiling": shares(true, prompts),
        "floor": shares(made, [*prompts[len(prompts) // 2 :], *prompts[: len(prompts) // 2]]),
        "denoise_strength": args.strength or VideoRequest(prompt="x").denoise_strength,
        "backend": model.backend,
    }
    emit(figures, runs, args.save)


if __name__ == "__main__":
    main()
