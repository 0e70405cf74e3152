"""Stage 2: train the transformer and the text encoder by rectified flow.

Owns the schedule: which size when, how often new clips are drawn. Does not know how a loss is computed.

    torchrun --nproc-per-node 4 -m training.transformer --minutes 9 --folder .train/run --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor
from transformers import AutoTokenizer

from training import config
from training.flow import causal_loss, whole_clip_loss
from training.forward import Pieces
from training.latents import Drawing, Drawings, LatentRing, loader
from training.networks import Networks, load_networks, new_networks, save_networks
from training.optimizer import Optimizer
from training.session import Average, Clock, Log, Session, learning_rate_factor, load, save
from training.vae import load_vae

WHOLE_CLIP_SHARE = 0.15
PERIOD = 20
"""Steps between drawings of new clips and looks at the clock."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which size to draw and which to train on, by the part of the time that is used. The first size is the small one,
    the second the main one."""

    rings: list[LatentRing]
    small_until: float
    draw_ahead: float
    main_share: float

    def ring_to_fill(self, fraction: float, chance: random.Random) -> LatentRing:
        """Small clips first, then from a little before they are wanted the larger ones."""
        if fraction < self.small_until - self.draw_ahead or len(self.rings) == 1:
            return self.rings[0]
        return self._larger(chance)

    def ring_to_train(self, fraction: float, chance: random.Random) -> LatentRing:
        """Of those that hold clips."""
        if fraction < self.small_until or len(self.rings) == 1:
            return self.rings[0]
        chosen = self.rings[0] if chance.random() < 0.1 else self._larger(chance)
        return chosen if chosen.held else self.rings[1]

    def _larger(self, chance: random.Random) -> LatentRing:
        if len(self.rings) == 2 or chance.random() < self.main_share:
            return self.rings[1]
        return chance.choice(self.rings[2:])


class Supply:
    """Draws new clips between steps so that drawing takes a fixed part of the time."""

    def __init__(self, vae: AutoencoderKLWan, drawings: Iterator[Drawing], share: float) -> None:
        self._vae, self._drawings, self._share = vae, drawings, share
        self.pixels = 768.0 * 448.0

    def fill(self, ring: LatentRing, pixels: float) -> None:
        """Add drawings of about so many pixels a frame in sum, at least one."""
        for _ in range(max(1, round(pixels / (ring.size.width * ring.size.height)))):
            ring.add(self._vae, next(self._drawings))

    def adapt(self, drawing_s: float, period_s: float, session: Session) -> None:
        """Set the amount for the next period from the times of this one."""
        others_s = max(period_s - drawing_s, 1e-3)
        wanted_s = others_s * self._share / (1 - self._share)
        factor = min(2.0, max(0.5, wanted_s / max(drawing_s, 1e-3)))
        self.pixels = session.agree(min(64 * 768.0 * 448.0, self.pixels * factor))


def main() -> None:
    """Train until the time is up; averaged weights go to `<run>/flow/`, the full state to `<run>/flow_state.pt`."""
    args = _arguments()
    clock = Clock(args.minutes)
    session = Session.start(args.seed)
    chance = random.Random(args.seed)  # the same on every process: all take the same size and loss at a step
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    seed = args.seed * 1000 + session.rank
    source = Drawings(tokenizer, seed=seed, clips=args.clips, captions=args.captions, far=args.far)
    supply = Supply(load_vae(args.folder, session.device), loader(source, args.workers), args.draw_share)
    capacities = [args.capacity, args.capacity // 3, *[args.capacity // 30] * (len(args.sizes) - 2)][: len(args.sizes)]
    sizes = [config.Size.parse(text) for text in args.sizes]
    rings = [LatentRing(size, n, session.device) for size, n in zip(sizes, capacities, strict=True)]
    plan = Plan(rings, args.small_until, args.draw_ahead, args.main_share)
    networks, optimizer, step = _networks(args, len(tokenizer), session)
    averages = [Average(module, args.average) for module in networks.modules]
    log = Log(args.folder / "flow.jsonl" if session.is_main else None)
    pieces = Pieces.plain() if args.compile == "no" else Pieces.compiled(dynamic=args.compile == "dynamic")
    fraction, kept, first = 0.0, _Means(), step
    supply.fill(rings[0], args.first_fill * sizes[0].width * sizes[0].height)
    _synchronise(session)
    mark = clock.seconds
    while fraction < 1 and step - first < args.max_steps:
        drawing_s = 0.0
        if (step - first) % PERIOD == 0:
            supply.fill(plan.ring_to_fill(fraction, chance), supply.pixels)
            _synchronise(session)
            drawing_s = clock.seconds - mark
        ring, whole = plan.ring_to_train(fraction, chance), chance.random() < WHOLE_CLIP_SHARE
        batch = ring.batch(_batch_size(args.batch, sizes[0], ring.size))
        with torch.autocast(session.device.type, torch.bfloat16, enabled=session.device.type == "cuda"):
            loss = (whole_clip_loss if whole else causal_loss)(networks, batch, pieces)
        loss.backward()
        session.average_gradients(optimizer.parameters)
        optimizer.step(learning_rate_factor(fraction))
        for average in averages:
            average.update()
        step += 1
        kept.add(f"{'whole' if whole else 'causal'}_{ring.size.width}x{ring.size.height}", loss)
        if drawing_s:
            period_drawing_s = drawing_s
        if (step - first) % PERIOD == 0:
            _synchronise(session)
            period_s, mark = clock.seconds - mark, clock.seconds
            supply.adapt(period_drawing_s, period_s, session)
            fraction = session.agree(clock.fraction)
            if session.is_main and (step - first) % (5 * PERIOD) == 0:
                clips = {f"clips_{r.size.width}": r.drawn for r in rings if r.drawn}
                times = {"period_s": period_s, "drawing_s": period_drawing_s}
                log.write(step=step, seconds=clock.seconds, **times, **clips, **kept.take())
    if session.is_main:
        held = tuple(average.state_dict() for average in averages)
        save_networks(args.folder / "flow", networks, (held[0], held[1]))
        weights = [module.state_dict() for module in networks.modules]
        save(args.folder / "flow_state.pt", {"weights": weights, "optimizer": optimizer.state_dict(), "step": step})
        log.write(step=step, seconds=clock.seconds, saved=True)
    session.finish()


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


def _batch_size(at_small: int, small: config.Size, size: config.Size) -> int:
    """The same number of tokens at every size."""
    return max(1, round(at_small * small.width * small.height / (size.width * size.height)))


def _synchronise(session: Session) -> None:
    if session.device.type == "cuda":
        torch.cuda.synchronize()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--sizes", nargs="+", default=["384x224", "768x448", "1024x576", "576x1024", "1280x736"])
    parser.add_argument("--small-until", type=float, default=0.35)
    parser.add_argument("--draw-ahead", type=float, default=0.05)
    parser.add_argument("--main-share", type=float, default=0.75)
    parser.add_argument("--batch", type=int, default=64, help="samples of the small size a step and process")
    parser.add_argument("--capacity", type=int, default=12_000, help="samples of the small size that are kept")
    parser.add_argument("--clips", type=int, default=12, help="clips rendered at once")
    parser.add_argument("--captions", type=int, default=6, help="captions made for each clip")
    parser.add_argument("--far", type=float, default=0.5, help="share of samples whose later blocks lie far in the clip")
    parser.add_argument("--first-fill", type=int, default=60, help="drawings before the first step")
    parser.add_argument("--draw-share", type=float, default=0.4, help="part of the time spent on new clips")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--compile", choices=("no", "static", "dynamic"), default="no")
    parser.add_argument("--average", type=float, default=0.999)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
