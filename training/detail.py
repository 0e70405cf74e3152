"""How much is fine in latents, place by place, and how much of it a weave: the world's, the teacher's, the student's.

Owns which clips are compared. Does not decode, and does not know what is said or shown: a clip can show all that its
caption says and still be smooth, and then rain grows thin behind the first frame. Captions say the weather, because
that is what goes first.

    python -m training.detail --folder .train/run --networks few --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer

from training import config
from training.distill import Prompts
from training.latents import SAMPLE_LATENTS, Drawing, encode_drawing, tokenize, weather_tokens
from training.networks import load_networks
from training.sampler import Sampling
from training.samples import make_latents
from training.scene import Scene, sample_scene
from training.texture import detail, woven
from training.vae import load_vae
from training.wording import LOUDNESS, say, weather_spans


def scenes_with(weather: str, count: int, rng: random.Random) -> list[tuple[Scene, str]]:
    """Scenes of the world with this weather, each with a caption that says it."""
    found: list[tuple[Scene, str]] = []
    while len(found) < count:
        scene = sample_scene(rng, held_out=False)
        if scene.weather == weather and weather_spans(text := say(scene, rng)):
            found.append((scene, text))
    return found


def _told(latents: Tensor) -> dict[str, list[float]]:
    return {"detail": detail(latents), "weave": woven(latents)}


@torch.no_grad()
def main() -> None:
    """Print one JSON object: by maker, `detail` and `weave` of each latent from the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["few"], help="folders of the run with students")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--weather", choices=tuple(LOUDNESS), default="rain")
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--size", default="768x448")
    parser.add_argument("--shift", type=float, default=5.0)
    parser.add_argument("--guidance", type=float, default=3.0, help="of the teacher")
    parser.add_argument(
        "--stress", type=float, default=1.0, help="with which the teacher hears of rain, as stage 3 has it"
    )
    args = parser.parse_args()
    device, size = torch.device("cuda" if torch.cuda.is_available() else "cpu"), config.Size.parse(args.size)
    drawn = scenes_with(args.weather, args.clips, random.Random(3))
    tokenizer, texts = AutoTokenizer.from_pretrained(args.tokenizer), [text for _, text in drawn]
    ids, loudness = (of(tokenizer, texts).to(device) for of in (tokenize, weather_tokens))
    vae, from_start, noise = load_vae(args.folder, device), 1, 0
    said = zip((scene for scene, _ in drawn), ids[:, None], loudness[:, None], strict=True)
    alone = (Drawing([scene], row[None], loud[None], from_start) for scene, row, loud in said)  # together: much memory
    found = {"world": _told(torch.cat([encode_drawing(vae, one, size, device)[0] for one in alone]))}
    teacher, few = load_networks(args.folder / "flow", device), Sampling(4, args.shift)
    prompts = Prompts.of(teacher.text_encoder, ids, args.stress**loudness)
    for steps in (12, 4):
        guided = Sampling(steps, args.shift, args.guidance)
        made = make_latents(teacher, prompts.heard, prompts.empty, size, SAMPLE_LATENTS, guided, noise)
        found[f"flow, {steps} guided steps"] = _told(made)
    for name in args.networks:
        student = load_networks(args.folder / name, device)
        heard = Prompts.of(student.text_encoder, ids, torch.ones_like(loudness))
        found[name] = _told(make_latents(student, heard.embeds, heard.empty, size, SAMPLE_LATENTS, few, noise))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
