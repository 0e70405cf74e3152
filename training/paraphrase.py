"""Stage 3c: the text encoder learns other wordings and weights, from what the finished student makes of them.

Owns its loss and its loop. Does not know sentences (`training.wording` pairs them, `training.contrast` says two things
of one kind) or pictures: nothing is drawn. The student, which stays as it is, was trained on the grammar's sentences;
another wording has to be embedded so that its velocity is the same, at first frames that the student itself comes
through. Where two things of one kind are said, a weight above 1 has to give the velocity of the sentence with that one
alone, a weight below 1 that with the other alone, and none its own. Sentences of the grammar go on to be embedded so
that their own velocity is theirs, a weight on some of their words or not.

`--stress`: what few steps blur away, rain above all, the student shows when its word has a weight; then every sentence
is to mean what the student makes of it with that weight on its rain, and less on its fog (`training.wording.LOUDNESS`).

    python -m training.paraphrase --minutes 20 --folder .train/run --tokenizer .train/tokenizer --networks few
"""

from __future__ import annotations

import argparse
import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, UMT5EncoderModel

from pipeline.text import token_weights, weighted
from styles import WeightedText
from training import config
from training.captions import caption
from training.contrast import Contrast, contrast
from training.flow import timesteps
from training.forward import cached_forward
from training.latents import tokenize
from training.networks import Networks, embed_prompts, load_networks, save_text_encoder
from training.optimizer import Optimizer
from training.sampler import denoise, schedule
from training.scene import Scene, sample_scene
from training.session import Average, Clock, Log, Means, Session, learning_rate_factor
from training.wording import Runs, pair, stressed, styled, timed, whole

LATER = (0, 0, 1, 2)
"""The student's steps that lie before what is compared: the first one decides most."""
BELOW, ABOVE = (0.4, 0.7), (1.3, 1.6)
"""Weights that decide against a phrase, and for it."""
_PARTS = ("reworded", "contrasted", "plain")


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
        told = _sentences(chance, args.pairs, args.contrasts, args.plain)
        with torch.no_grad():
            meant = [stressed(one.meant, args.stress) for one in told]
            embeds = _embed(student.text_encoder, tokenizer, meant, session.device)
            channels = student.transformer.config.in_channels
            x = torch.randn(len(embeds), channels, 1, *chance.choice(sizes), device=session.device)
            later = chance.choice(LATER)
            x = denoise(student, x, sigmas[: later + 1], embeds, positions, None)
            wanted = _velocity(student, x, sigmas[later], embeds, positions)
        asked = _embed(encoder, tokenizer, [one.asked for one in told], session.device)
        errors = (_velocity(student, x, sigmas[later], asked, positions) - wanted).square().mean((1, 2, 3, 4))
        parts = errors.split([args.pairs, args.contrasts, args.plain])
        losses = {name: part.mean() for name, part in zip(_PARTS, parts, strict=True) if len(part)}
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step(learning_rate_factor(clock.fraction))
        average.update()
        for name, loss in losses.items():
            kept.add(name, loss)
        step += 1
        if step % 40 == 0:
            log.write(step=step, seconds=clock.seconds, **kept.take())
    save_text_encoder(args.folder / args.networks, len(tokenizer), average.state_dict())
    log.write(step=step, seconds=clock.seconds, saved=True)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """What is asked, and what it means to the finished student: each as runs of text with a weight."""

    asked: Runs
    meant: Runs


def _sentences(chance: random.Random, pairs: int, contrasts: int, plain: int) -> list[_Sentence]:
    """As many of each part, one part behind the other."""
    told: list[_Sentence] = []

    def scene() -> Scene:
        return sample_scene(chance, held_out=False, hard=True)

    while len(told) < pairs:
        if (both := chance.choice((pair, styled, timed))(scene(), chance)) is not None:
            told.append(_Sentence(*(whole(text) for text in both)))
    while len(told) < pairs + contrasts:
        if (found := contrast(scene(), chance)) is not None:
            told.append(_weighed(found, chance))
    for _ in range(plain):
        runs = _some_weighted(caption(scene(), chance), chance)
        told.append(_Sentence(runs, runs))
    return told


def _weighed(found: Contrast, chance: random.Random) -> _Sentence:
    weight = chance.choice((1.0, chance.uniform(*BELOW), chance.uniform(*ABOVE)))
    meant = found.text if weight == 1.0 else found.chosen if weight > 1.0 else found.other
    return _Sentence(_weighted_span(found.text, found.start, found.end, weight), whole(meant))


def _some_weighted(text: str, chance: random.Random) -> Runs:
    """Half of the time a few characters of a sentence have a weight."""
    if chance.random() < 0.5:
        return whole(text)
    start = chance.randrange(len(text))
    end = min(start + chance.randint(1, 6), len(text))
    return _weighted_span(text, start, end, chance.uniform(BELOW[0], ABOVE[1]))


def _weighted_span(text: str, start: int, end: int, weight: float) -> Runs:
    parts = ((text[:start], 1.0), (text[start:end], weight), (text[end:], 1.0))
    return tuple(WeightedText(part, of_part) for part, of_part in parts if part)


def _embed(
    encoder: UMT5EncoderModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Runs], device: torch.device
) -> Tensor:
    """prompt_embeds [B, T, text_dim] of weighted prompts, as the product makes them."""
    ids = tokenize(tokenizer, ["", *("".join(run.text for run in runs) for runs in prompts)]).to(device)
    empty, embeds = embed_prompts(encoder, ids).split([1, len(prompts)])
    weights = torch.cat([token_weights(runs, tokenizer, config.TEXT_TOKENS) for runs in prompts])
    return weighted(embeds, empty, weights.to(device))


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
    parser.add_argument("--contrasts", type=int, default=4, help="sentences of two things of one kind of one step")
    parser.add_argument("--plain", type=int, default=3, help="sentences of the grammar of one step")
    parser.add_argument("--stress", type=float, default=1.0, help="weight that rain is to have unasked")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
