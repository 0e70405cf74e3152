"""Stage 3c: the text encoder learns that two wordings are one, from what the finished student makes of them.

Owns its loss and its loop. Does not know sentences (`training.wording` pairs them) or pictures: nothing is drawn. The
student, which stays as it is, was trained on the grammar's sentences; another wording has to be embedded so that its
velocity is the same, at first frames that the student itself comes through. Sentences of the grammar go on to be
embedded so that their own is.

    python -m training.paraphrase --minutes 20 --folder .train/run --tokenizer .train/tokenizer --networks few
"""

from __future__ import annotations

import argparse
import copy
import random
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from training import config
from training.captions import caption
from training.flow import timesteps
from training.forward import cached_forward
from training.latents import tokenize
from training.networks import Networks, embed_prompts, load_networks, save_text_encoder
from training.optimizer import Optimizer
from training.sampler import denoise, schedule
from training.scene import sample_scene
from training.session import Average, Clock, Log, Means, Session, learning_rate_factor
from training.wording import pair

LATER = (0, 0, 1, 2)
"""The student's steps that lie before what is compared: the first one decides most."""


def main() -> None:
    """Train until the time is up; the averaged encoder goes to `<folder>/<networks>/text_encoder.pt`."""
    args = _arguments()
    clock, session = Clock(args.minutes), Session.start(args.seed)
    chance, tokenizer = random.Random(args.seed), AutoTokenizer.from_pretrained(args.tokenizer)
    student = load_networks(args.folder / args.networks, session.device).requires_grad_(False)
    encoder = copy.deepcopy(student.text_encoder).requires_grad_(True)
    optimizer, average = Optimizer([encoder], lr=args.lr), Average(encoder, 0.98)
    sigmas, sizes = schedule(args.steps, args.shift), [config.Size.parse(text).latent for text in args.sizes]
    positions = torch.zeros(1, 1, dtype=torch.long, device=session.device)  # of a first frame
    log, kept, step = Log(args.folder / "paraphrase.jsonl"), Means(), 0
    while clock.fraction < 1 and step < args.max_steps:
        asked, meant = (ids.to(session.device) for ids in _sentences(tokenizer, chance, args.pairs, args.plain))
        with torch.no_grad():
            embeds = embed_prompts(student.text_encoder, meant)
            channels = student.transformer.config.in_channels
            x = torch.randn(len(embeds), channels, 1, *chance.choice(sizes), device=session.device)
            later = chance.choice(LATER)
            x = denoise(student, x, sigmas[: later + 1], embeds, positions, None)
            wanted = _velocity(student, x, sigmas[later], embeds, positions)
        made = _velocity(student, x, sigmas[later], embed_prompts(encoder, asked), positions)
        errors = (made - wanted).square().mean((1, 2, 3, 4))
        reworded, plain = errors[: args.pairs].mean(), errors[args.pairs :].mean()
        (reworded + plain).backward()
        optimizer.step(learning_rate_factor(clock.fraction))
        average.update()
        kept.add("reworded", reworded)
        kept.add("plain", plain)
        step += 1
        if step % 40 == 0:
            log.write(step=step, seconds=clock.seconds, **kept.take())
    save_text_encoder(args.folder / args.networks, len(tokenizer), average.state_dict())
    log.write(step=step, seconds=clock.seconds, saved=True)


def _sentences(
    tokenizer: PreTrainedTokenizerBase, chance: random.Random, pairs: int, plain: int
) -> tuple[Tensor, Tensor]:
    """Token ids of what is asked and of what it means in the grammar; the last `plain` are the same in both."""
    told: list[tuple[str, str]] = []
    while len(told) < pairs:
        if (both := pair(sample_scene(chance, held_out=False, hard=True), chance)) is not None:
            told.append(both)
    texts = [caption(sample_scene(chance, held_out=False, hard=True), chance) for _ in range(plain)]
    told += [(text, text) for text in texts]
    asked, meant = zip(*told, strict=True)
    return tokenize(tokenizer, list(asked)), tokenize(tokenizer, list(meant))


def _velocity(student: Networks, x: Tensor, sigma: float, embeds: Tensor, positions: Tensor) -> Tensor:
    times = timesteps(torch.full((len(x), 1), sigma, device=x.device, dtype=torch.float64) + 1e-6)
    return cached_forward(student.transformer, x, times, embeds, positions)[0].float()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the run")
    parser.add_argument("--networks", default="few", help="folder of the run with the student")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--sizes", nargs="+", default=["768x448", "384x224"])
    parser.add_argument("--steps", type=int, default=4, help="of the shipped sampler")
    parser.add_argument("--shift", type=float, default=5.0)
    parser.add_argument("--pairs", type=int, default=6, help="reworded sentences of one step")
    parser.add_argument("--plain", type=int, default=3, help="sentences of the grammar of one step")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
