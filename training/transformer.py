"""Stage 2: train the transformer and the text encoder by rectified flow.

Owns the schedule: what is trained when, how often new clips are drawn. Does not know how a loss is computed.

    training/launch.sh training.transformer --minutes 9 --folder .train/run --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from training import config
from training.flow import causal_loss, whole_clip_loss
from training.forward import Pieces
from training.latents import SAMPLE_LATENTS, Batch, Drawing, Drawings, LatentRing, loader
from training.networks import Networks, load_networks, new_networks, save_networks
from training.optimizer import Optimizer
from training.session import Average, Clock, Log, Session, learning_rate_factor, load, save, synchronise
from training.vae import load_vae

WHOLE_CLIP_SHARE = 0.15
PERIOD = 20
"""Steps between drawings of new clips and looks at the clock."""
SAVE_EVERY_S = 90.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to draw and what to train on, by the part of the time that is used.

    Images come first, small ones, then main ones: an image costs a twentieth of a clip's tokens and teaches what a
    first frame must show. Then clips, with some images in between. Clips are drawn a little before they are wanted.
    """

    small_images: LatentRing
    main_images: LatentRing
    clips: list[LatentRing]  # the main size first
    small_until: float
    images_until: float
    main_share: float
    ahead: float = 0.03
    images_later: float = 0.25

    def to_fill(self, fraction: float, chance: random.Random) -> LatentRing:
        """The ring that gets the next drawings."""
        if fraction < self.small_until - self.ahead:
            return self.small_images
        if fraction < self.images_until - self.ahead or chance.random() < 0.1:
            return self.main_images
        return self._clips(chance)

    def to_train(self, fraction: float, chance: random.Random) -> LatentRing:
        """The ring that gives the next batch; one that holds samples."""
        images = fraction < self.images_until or chance.random() < self.images_later
        wanted = (
            self.small_images if fraction < self.small_until else self.main_images if images else self._clips(chance)
        )
        others = (self.clips[0], self.main_images, self.small_images)
        return next(ring for ring in (wanted, *others) if ring.held)

    def drawn(self) -> dict[str, int]:
        """Samples drawn so far, by kind and size."""
        rings = (self.small_images, self.main_images, *self.clips)
        return {f"{'images' if r.images else 'clips'}_{r.size.width}": r.drawn for r in rings if r.drawn}

    def _clips(self, chance: random.Random) -> LatentRing:
        if len(self.clips) == 1 or chance.random() < self.main_share:
            return self.clips[0]
        return chance.choice(self.clips[1:])


class Supply:
    """Draws new clips between steps so that drawing takes a fixed part of the time."""

    def __init__(
        self,
        vae: AutoencoderKLWan,
        clips: Iterator[Drawing],
        images: Iterator[Drawing],
        session: Session,
        share: float,
        first_seconds: float,
    ) -> None:
        self._vae, self._clips, self._images, self._session, self._share = vae, clips, images, session, share
        self._wanted_s = first_seconds

    def fill(self, ring: LatentRing) -> float:
        """Add drawings for as long as is wanted; returns the seconds that it took."""
        source = self._images if ring.images else self._clips
        start = time.monotonic()
        while True:
            ring.add(self._vae, next(source))
            synchronise(self._session)
            if time.monotonic() - start >= self._wanted_s:
                return time.monotonic() - start

    def adapt(self, drawing_s: float, period_s: float) -> None:
        """Set the seconds of the next period from those of this one."""
        others_s = max(period_s - drawing_s, 1e-3)
        self._wanted_s = self._session.agree(others_s * self._share / (1 - self._share))


def main() -> None:
    """Train until the time is up; averaged weights go to `<folder>/flow/`, all to `<folder>/flow_state.pt`."""
    args = _arguments()
    clock = Clock(args.minutes, tuple(args.part))
    session = Session.start(args.seed)
    chance = random.Random(args.seed)  # the same on every process: all take the same size and loss at a step
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    networks, optimizer, first = _networks(args, len(tokenizer), session)
    pieces = Pieces.plain() if args.compile == "no" else Pieces.compiled(dynamic=args.compile == "dynamic")
    plan = _plan(args, session)
    if args.compile_only:
        compile_all(networks, plan, pieces, args.tokens, session)
        return
    supply = _supply(args, session, tokenizer)
    averages = [Average(module, args.average) for module in networks.modules]
    log = Log(args.folder / "flow.jsonl" if session.is_main else None)
    step, fraction, kept, saved_s = first, clock.begin, _Means(), 0.0
    while fraction < clock.end and step - first < args.max_steps:
        mark = clock.seconds
        drawing_s = supply.fill(plan.to_fill(fraction, chance))
        for _ in range(PERIOD):
            ring, whole = plan.to_train(fraction, chance), chance.random() < WHOLE_CLIP_SHARE
            loss = _loss(networks, ring.batch(_batch_size(args.tokens, ring)), whole, pieces)
            loss.backward()
            session.average_gradients(optimizer.parameters)
            optimizer.step(learning_rate_factor(fraction))
            for average in averages:
                average.update()
            name = "image" if ring.images else "whole" if whole else "causal"
            kept.add(f"{name}_{ring.size.width}x{ring.size.height}", loss)
        step += PERIOD
        synchronise(session)
        period_s = clock.seconds - mark
        supply.adapt(drawing_s, period_s)
        fraction = session.agree(clock.fraction)
        if session.is_main and (step - first) % (5 * PERIOD) == 0:
            times = {"period_s": period_s, "drawing_s": drawing_s}
            log.write(step=step, seconds=clock.seconds, **times, **plan.drawn(), **kept.take())
        if session.is_main and (clock.seconds - saved_s > SAVE_EVERY_S):
            saved_s = clock.seconds
            save_networks(args.folder / "flow", networks, (averages[0].state_dict(), averages[1].state_dict()))
    if session.is_main:
        save_networks(args.folder / "flow", networks, (averages[0].state_dict(), averages[1].state_dict()))
        weights = [module.state_dict() for module in networks.modules]
        save(args.folder / "flow_state.pt", {"weights": weights, "optimizer": optimizer.state_dict(), "step": step})
        log.write(step=step, seconds=clock.seconds, saved=True)
    session.finish()


def compile_all(networks: Networks, plan: Plan, pieces: Pieces, tokens: int, session: Session) -> None:
    """Fill the compiler's cache on disk with the kernels of every size, forward and backward, from random numbers."""
    for ring in (plan.small_images, plan.main_images, *plan.clips):
        batch = ring.random_batch(_batch_size(tokens, ring), networks.transformer.config.in_channels)
        for whole in (True,) if ring.images else (False, True):
            _loss(networks, batch, whole, pieces).backward()
            synchronise(session)


def _loss(networks: Networks, batch: Batch, whole: bool, pieces: Pieces) -> Tensor:
    device = batch.latents.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        return (whole_clip_loss if whole or batch.latents.shape[2] == 1 else causal_loss)(networks, batch, pieces)


def _plan(args: argparse.Namespace, session: Session) -> Plan:
    small, *sizes = (config.Size.parse(text) for text in args.sizes)
    capacities = [args.capacity, *[args.capacity // 10] * (len(sizes) - 1)]
    return Plan(
        LatentRing(small, 8 * args.capacity, session.device, images=True),
        LatentRing(sizes[0], 4 * args.capacity, session.device, images=True),
        [LatentRing(size, most, session.device) for size, most in zip(sizes, capacities, strict=True)],
        small_until=args.small_until,
        images_until=args.images_until,
        main_share=args.main_share,
    )


def _supply(args: argparse.Namespace, session: Session, tokenizer: PreTrainedTokenizerBase) -> Supply:
    seed = args.seed * 1000 + session.rank
    clips = Drawings(tokenizer, seed=seed, clips=args.clips, captions=args.captions, far=args.far)
    images = Drawings(tokenizer, seed=seed + 500, clips=args.images, captions=args.captions, far=None)
    sources = loader(clips, args.workers), loader(images, args.workers)
    return Supply(load_vae(args.folder, session.device), *sources, session, args.draw_share, args.first_seconds)


class _Means:
    """Losses by name since the last look, kept on the device so that no step waits for them."""

    def __init__(self) -> None:
        self._held: dict[str, list[Tensor]] = {}

    def add(self, name: str, loss: Tensor) -> None:
        self._held.setdefault(name, []).append(loss.detach())

    def take(self) -> dict[str, float]:
        means = {name: float(torch.stack(values).mean()) for name, values in self._held.items()}
        self._held = {}
        return means


def _networks(args: argparse.Namespace, vocab: int, session: Session) -> tuple[Networks, Optimizer, int]:
    """From the full state of the run, else from its averaged weights, else new."""
    folder, state_path = args.folder / "flow", args.folder / "flow_state.pt"
    networks = load_networks(folder, session.device) if folder.exists() else new_networks(vocab)
    for module in networks.modules:
        session.broadcast(module.to(session.device).train())
    optimizer, step = Optimizer(networks.modules, lr=args.lr), 0
    if state_path.exists():
        state = load(state_path, session.device)
        for module, weights in zip(networks.modules, state["weights"], strict=True):
            module.load_state_dict(weights)
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    return networks, optimizer, step


def _batch_size(tokens: int, ring: LatentRing) -> int:
    """Samples of a ring with about so many tokens in sum; a clip stands twice in the network, clean and noisy."""
    height, width = ring.size.latent
    length = 1 if ring.images else 2 * SAMPLE_LATENTS
    return max(1, round(tokens / (length * height * width / 4)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the run: vae.pt is read, flow/ is written")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--part", type=float, nargs=2, default=(0.0, 1.0), help="of the schedule that this call runs")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--compile-only", action="store_true", help="fill the compiler's cache and end")
    parser.add_argument("--sizes", nargs="+", default=["384x224", "768x448", "1024x576", "576x1024", "1280x736"])
    parser.add_argument("--small-until", type=float, default=0.2, help="part of the time for small images")
    parser.add_argument("--images-until", type=float, default=0.4, help="part of the time until clips begin")
    parser.add_argument("--main-share", type=float, default=0.85, help="of clips: the second size, the rest by chance")
    parser.add_argument("--tokens", type=int, default=80_000, help="of one step on one process")
    parser.add_argument("--capacity", type=int, default=4000, help="clips of the main size that are kept")
    parser.add_argument("--clips", type=int, default=12, help="clips rendered at once")
    parser.add_argument("--images", type=int, default=96, help="images rendered at once")
    parser.add_argument("--captions", type=int, default=4, help="captions made for each clip")
    parser.add_argument(
        "--far", type=float, default=0.4, help="share of clips whose later blocks lie far behind the start"
    )
    parser.add_argument("--first-seconds", type=float, default=8.0, help="drawing before the first step")
    parser.add_argument("--draw-share", type=float, default=0.4, help="part of the time spent on new clips")
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--compile", choices=("no", "static", "dynamic"), default="no")
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
