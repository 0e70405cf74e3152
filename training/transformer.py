"""Stage 2: train the transformer by rectified flow; the text encoder is stage 1b's and stays as it is.

Owns the schedule: what is trained when, how often new clips are drawn. Does not know how a loss is computed.

    training/launch.sh training.transformer --minutes 9 --folder .train/run --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import random
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from training import config
from training.flow import causal_loss, image_loss, whole_clip_loss
from training.forward import Pieces
from training.latents import SAMPLE_LATENTS, Batch, Drawing, Drawings, LatentRing, loader
from training.networks import Networks, load_networks, load_text_encoder, new_networks, save_networks
from training.optimizer import Optimizer
from training.session import Average, Clock, Log, Means, Session, learning_rate_factor, load, save, synchronise
from training.vae import load_vae

WHOLE_CLIP_SHARE = 0.1
PERIOD = 20
"""Steps between drawings of new clips and looks at the clock."""
SAVE_EVERY_S = 90.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the schedule and how often each ring is drawn for and trained on in it."""

    until: float
    shares: tuple[tuple[LatentRing, float], ...]

    def choose(self, chance: random.Random, *, held: bool = False) -> LatentRing:
        """A ring by its share; with `held`, one that has samples."""
        rings = [(ring, share) for ring, share in self.shares if share > 0 and (ring.held or not held)]
        return chance.choices([ring for ring, _ in rings], [share for _, share in rings])[0]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to draw and what to train on, by the part of the time that is used.

    Images come first, small ones, then main ones: an image costs a twentieth of a clip's tokens and teaches what a
    first frame must show. Then clips, with images in between. Samples are drawn a little before they are wanted.
    """

    phases: tuple[Phase, ...]
    ahead: float = 0.03

    @property
    def rings(self) -> list[LatentRing]:
        """All, each once."""
        return list(dict.fromkeys(ring for phase in self.phases for ring, _ in phase.shares))

    def to_fill(self, fraction: float, chance: random.Random) -> LatentRing:
        """The ring that gets the next drawings."""
        return self._phase(fraction + self.ahead).choose(chance)

    def to_train(self, fraction: float, chance: random.Random) -> LatentRing:
        """The ring that gives the next batch; one that holds samples."""
        phase = self._phase(fraction)
        if not any(ring.held for ring, _ in phase.shares):
            return next(ring for ring in self.rings if ring.held)
        return phase.choose(chance, held=True)

    def drawn(self) -> dict[str, int]:
        """Samples drawn so far, by kind and size."""
        return {f"{'images' if r.images else 'clips'}_{r.size.width}": r.drawn for r in self.rings if r.drawn}

    def _phase(self, fraction: float) -> Phase:
        return next((phase for phase in self.phases if fraction < phase.until), self.phases[-1])


class Supply:
    """Draws new samples between steps so that drawing takes a fixed part of the time."""

    def __init__(
        self,
        vae: AutoencoderKLWan,
        sources: Callable[[LatentRing], Iterator[Drawing]],
        session: Session,
        share: float,
        first_seconds: float,
    ) -> None:
        self._vae, self._make, self._session, self._share = vae, sources, session, share
        self._sources: dict[LatentRing, Iterator[Drawing]] = {}
        self._wanted_s = first_seconds

    def fill(self, ring: LatentRing) -> float:
        """Add drawings for as long as is wanted; returns the seconds that it took."""
        if ring not in self._sources:
            self._sources[ring] = self._make(ring)
        start = time.monotonic()
        while True:
            ring.add(self._vae, next(self._sources[ring]))
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
    pieces = Pieces.of(args.compile)
    plan = _plan(args, session)
    if args.compile_only:
        compile_all(len(tokenizer), plan, pieces, args, session)
        return
    networks, optimizer, first = _networks(args.folder, args.lr, session)
    sources = _sources(args, session, tokenizer)
    supply = Supply(load_vae(args.folder, session.device), sources, session, args.draw_share, args.first_seconds)
    average, text = Average(networks.transformer, args.average), networks.text_encoder.state_dict()
    log = Log(args.folder / "flow.jsonl" if session.is_main else None)
    step, fraction, kept, saved_s = first, clock.begin, Means(), 0.0
    while fraction < clock.end and step - first < args.max_steps:
        mark = clock.seconds
        drawing_s = supply.fill(plan.to_fill(fraction, chance))
        for _ in range(PERIOD):
            ring, whole = plan.to_train(fraction, chance), chance.random() < WHOLE_CLIP_SHARE
            loss = _loss(networks, ring.batch(_batch_size(args, ring)), whole, args.copies, pieces)
            loss.backward()
            session.average_gradients(optimizer.parameters)
            optimizer.step(learning_rate_factor(fraction))
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
            save_networks(args.folder / "flow", networks, (average.state_dict(), text))
    if session.is_main:
        save_networks(args.folder / "flow", networks, (average.state_dict(), text))
        weights = networks.transformer.state_dict()
        save(args.folder / "flow_state.pt", {"weights": weights, "optimizer": optimizer.state_dict(), "step": step})
        log.write(step=step, seconds=clock.seconds, saved=True)
    session.finish()


def compile_all(vocab: int, plan: Plan, pieces: Pieces, args: argparse.Namespace, session: Session) -> None:
    """Fill the compiler's cache on disk with the kernels of every size, forward and backward, from random numbers."""
    networks = new_networks(vocab)
    networks.text_encoder.requires_grad_(False)
    for module in networks.modules:
        module.to(session.device)
    for ring in plan.rings:
        batch = ring.random_batch(_batch_size(args, ring), networks.transformer.config.in_channels)
        for whole in (True,) if ring.images else (False, True):
            _loss(networks, batch, whole, args.copies, pieces).backward()
            synchronise(session)


def _loss(networks: Networks, batch: Batch, whole: bool, copies: int, pieces: Pieces) -> Tensor:
    device = batch.latents.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        if batch.latents.shape[2] == 1:
            return image_loss(networks, batch, copies, pieces)
        return (whole_clip_loss if whole else causal_loss)(networks, batch, pieces)


def _plan(args: argparse.Namespace, session: Session) -> Plan:
    small, main, *others = (config.Size.parse(text) for text in args.sizes)

    def rings(sizes: list[config.Size], capacity: int, *, images: bool) -> list[LatentRing]:
        return [LatentRing(size, capacity, session.device, images=images) for size in sizes]

    (small_images,) = rings([small], 32 * args.capacity, images=True)
    (main_images,) = rings([main], 12 * args.capacity, images=True)
    (small_clips,) = rings([small], args.capacity, images=False)
    (main_clips,) = rings([main], args.capacity, images=False)
    other_images, other_clips = (
        rings(others, args.capacity, images=True),
        rings(others, args.capacity // 10, images=False),
    )

    def each(group: list[LatentRing], share: float) -> tuple[tuple[LatentRing, float], ...]:
        return tuple((ring, share / len(group)) for ring in group)

    images = (main_images, 0.85), *each(other_images, 0.15)
    clips = (main_clips, 0.45), (small_clips, 0.2), *each(other_clips, 0.1)
    later = *clips, (main_images, 0.2), *each(other_images, 0.05)
    return Plan((Phase(args.small_until, ((small_images, 1.0),)), Phase(args.images_until, images), Phase(1.0, later)))


def _sources(
    args: argparse.Namespace, session: Session, tokenizer: PreTrainedTokenizerBase
) -> Callable[[LatentRing], Iterator[Drawing]]:
    main = config.Size.parse(args.sizes[1])

    def source(ring: LatentRing) -> Iterator[Drawing]:
        smaller = main.width * main.height / (ring.size.width * ring.size.height)
        count = max(1, round((args.images if ring.images else args.clips) * smaller))
        seed = zlib.crc32(f"{args.seed} {session.rank} {ring.images} {ring.size}".encode()) % 1_000_000
        far = None if ring.images else args.far
        return loader(Drawings(tokenizer, seed=seed, clips=count, captions=args.captions, far=far), args.workers)

    return source


def _networks(folder: Path, lr: float, session: Session) -> tuple[Networks, Optimizer, int]:
    """The transformer from the run's full state, else from its averaged weights, else new; the frozen text encoder."""
    text_encoder = load_text_encoder(folder).to(session.device).requires_grad_(False)
    flow, state_path = folder / "flow", folder / "flow_state.pt"
    held = load_networks(flow, "cpu") if flow.exists() else new_networks(text_encoder.config.vocab_size)
    networks = Networks(held.transformer.to(session.device).train(), text_encoder)
    session.broadcast(networks.transformer)
    optimizer, step = Optimizer([networks.transformer], lr=lr), 0
    if state_path.exists():
        state = load(state_path, session.device)
        networks.transformer.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
    return networks, optimizer, step


def _batch_size(args: argparse.Namespace, ring: LatentRing) -> int:
    """Samples of a ring with about so many tokens in sum; a clip stands twice in the network, clean and noisy."""
    height, width = ring.size.latent
    length = args.copies if ring.images else 2 * SAMPLE_LATENTS
    return max(1, round(args.tokens / (length * height * width / 4)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the run: vae.pt is read, flow/ is written")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--part", type=float, nargs=2, default=(0.0, 1.0), help="of the schedule that this call runs")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--compile-only", action="store_true", help="fill the compiler's cache and end")
    parser.add_argument("--sizes", nargs="+", default=["384x224", "768x448", "1024x576", "576x1024", "1280x736"])
    parser.add_argument("--small-until", type=float, default=0.22, help="part of the time for small images")
    parser.add_argument("--images-until", type=float, default=0.55, help="part of the time until clips begin")
    parser.add_argument("--copies", type=int, default=4, help="noise levels of each image in a step")
    parser.add_argument("--tokens", type=int, default=128_000, help="of one step on one process")
    parser.add_argument("--capacity", type=int, default=4000, help="clips of the main size that are kept")
    parser.add_argument("--clips", type=int, default=12, help="clips of the main size rendered at once")
    parser.add_argument("--images", type=int, default=192, help="images of the main size rendered at once")
    parser.add_argument("--captions", type=int, default=4, help="captions made for each clip")
    parser.add_argument(
        "--far", type=float, default=0.3, help="share of clips whose later blocks lie far behind the start"
    )
    parser.add_argument("--first-seconds", type=float, default=8.0, help="drawing before the first step")
    parser.add_argument("--draw-share", type=float, default=0.3, help="part of the time spent on new clips")
    parser.add_argument("--workers", type=int, default=3, help="processes for each kind and size")
    parser.add_argument("--compile", choices=("no", "static", "dynamic"), default="no")
    parser.add_argument("--average", type=float, default=0.999)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
