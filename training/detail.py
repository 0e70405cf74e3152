"""How much fine detail latents hold, place by place: the world's own, the teacher's, the student's.

Owns the one number that is compared. Does not decode, and does not know what is said or shown: a clip can show all that
its caption says and still be smooth, and then rain grows thin behind the first frame. Captions say the weather, because
that is what goes first.

    python -m training.detail --folder .train/run --networks few --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from torch import Tensor
from transformers import AutoTokenizer

from pipeline.text import weighted
from training import config
from training.attributes import WEATHERS
from training.autoencode import encode_moments, normalise
from training.latents import empty_ids, tokenize, weather_tokens
from training.networks import Networks, embed_prompts, load_networks
from training.sampler import Sampling, generate
from training.scene import Scene, sample_scene
from training.vae import load_vae
from training.wording import say, weather_spans
from training.world import render


def detail(latents: Tensor) -> list[float]:
    """By latent of a clip, the deviation of what a mean over 3 × 3 cells leaves: mean over clips and channels.

    Args:
        latents: [B, C, F, h, w], normalised.
    """
    rows = latents.transpose(1, 2).flatten(0, 1)
    fine = (rows - F.avg_pool2d(rows, 3, 1, 1, count_include_pad=False)).unflatten(0, (len(latents), -1))
    return [round(float(x), 3) for x in fine.std((3, 4)).mean((0, 2))]


def scenes_with(weather: str, count: int, rng: random.Random) -> list[tuple[Scene, str]]:
    """Scenes of the world with this weather, each with a caption that says it."""
    found: list[tuple[Scene, str]] = []
    while len(found) < count:
        scene = sample_scene(rng, held_out=False)
        if scene.weather == weather and weather_spans(text := say(scene, rng)):
            found.append((scene, text))
    return found


@torch.no_grad()
def world(vae: AutoencoderKLWan, scenes: list[Scene], size: config.Size, latents: int, device: torch.device) -> Tensor:
    """The scenes' own latents [B, C, latents, h, w], normalised."""
    times = torch.arange(1 + config.FRAMES_PER_LATENT * (latents - 1), device=device)[None] / config.FPS
    made: list[Tensor] = []
    for scene in scenes:
        frames = render([scene], times, height=size.height, width=size.width, device=device).float()
        made.append(normalise(vae, encode_moments(vae, frames)[0]))
    return torch.cat(made)


def made_by(
    networks: Networks, token_ids: Tensor, loudness: Tensor, size: config.Size, latents: int, sampling: Sampling
) -> Tensor:
    """Latents [B, C, latents, h, w] by the same noise.

    Args:
        token_ids: of captions, [B, T].
        loudness: [B, T], weights of the tokens.
    """
    embeds = embed_prompts(networks.text_encoder, token_ids)
    nothing = empty_ids(token_ids.shape[1], token_ids.device)
    empty = embed_prompts(networks.text_encoder, nothing).expand_as(embeds)
    generator = torch.Generator().manual_seed(0)
    blocks = generate(
        networks,
        weighted(embeds, empty, loudness.unsqueeze(2)),
        empty,
        latent_size=size.latent,
        num_latents=latents,
        sampling=sampling,
        noise=lambda shape: torch.randn(shape, generator=generator).to(token_ids.device),
    )
    return torch.cat(list(blocks), 2)


@torch.no_grad()
def main() -> None:
    """Print one JSON object: by maker, the detail of each latent from the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["few"], help="folders of the run with students")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--weather", choices=WEATHERS, default="rain")
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--latents", type=int, default=7)
    parser.add_argument("--size", default="768x448")
    parser.add_argument("--shift", type=float, default=5.0)
    parser.add_argument("--guidance", type=float, default=3.0, help="of the teacher")
    parser.add_argument(
        "--stress", type=float, default=1.0, help="with which the teacher hears of rain, as stage 3 has it"
    )
    args = parser.parse_args()
    device, size = torch.device("cuda" if torch.cuda.is_available() else "cpu"), config.Size.parse(args.size)
    drawn = scenes_with(args.weather, args.clips, random.Random(3))
    scenes, texts = [scene for scene, _ in drawn], [text for _, text in drawn]
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    ids, loudness = (of(tokenizer, texts).to(device) for of in (tokenize, weather_tokens))
    found = {"world": detail(world(load_vae(args.folder, device), scenes, size, args.latents, device))}
    few = Sampling(4, args.shift)
    guided = {f"flow, {n} guided steps": Sampling(n, args.shift, args.guidance) for n in (12, 4)}
    for name, ways in [("flow", guided), *((name, {name: few}) for name in args.networks)]:
        networks, heard = (
            load_networks(args.folder / name, device),
            (args.stress if name == "flow" else 1.0) ** loudness,
        )
        for label, sampling in ways.items():
            found[label] = detail(made_by(networks, ids, heard, size, args.latents, sampling))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
