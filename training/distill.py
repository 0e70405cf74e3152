"""Stage 3: make the network few-step, unguided and used to its own context, by learning where its teacher would go.

Owns the roll-out and what is learnt on it. Does not know how stage 2 was trained. The *student* makes clips block by
block with the shipped steps and no guidance. From every noise level that it comes through, the *teacher*, stage 2 with
guidance, takes several finer steps to the student's next level; the student learns the straight line between the two
(guided and progressive distillation, arXiv 2210.03142 and 2202.00512, here from the student's own states, so that its
own errors are corrected, as in arXiv 2011.04619). The context is the student's own, up to the length of the longest
clip (self forcing, arXiv 2506.08009), or the world's; one block of each roll-out is learnt from. With `--critic` its
first frames also have to pass for the world's (`training.critic`). With `--stress` the teacher hears of rain with that
weight, of fog with less (`training.wording.LOUDNESS`): the student shows them as loudly unasked.

    training/launch.sh training.distill --minutes 12 --folder .train/run --tokenizer .train/tokenizer --compile dynamic
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import UMT5EncoderModel

from pipeline.text import weighted
from training.critic import Critic, add_scaled
from training.flow import timesteps
from training.forward import KeysValues, Pieces, cached_forward
from training.latents import FAR_BLOCKS, SAMPLE_BLOCKS, Batch, empty_ids, latents_of
from training.networks import Networks, embed_prompts, load_networks, save_networks
from training.optimizer import Optimizer
from training.sampler import context_of, joined, schedule, start
from training.session import Average, Clock, Log, Means, Session, learning_rate_factor, synchronise
from training.supply import batch_size, new_supply_parser, supply
from training.vae import load_vae

SAVE_EVERY_S = 45.0
DRAW_EVERY = 20
"""Steps between drawings of new clips and looks at the clock."""
REAL_CONTEXT_SHARE = 0.15
"""Roll-outs that start from the world's own latent 0 and first block, at any place in the clip."""
SECOND_SHARE = 0.2
"""Of the others, those to the block behind the first frame: of the first second it is half."""
LONG_SHARE = 0.55
"""Of the others, those that are longer than a sample of the world."""
CRITIC_KNOWS = 0.67
"""Loss of the critic (0.69 at first) below which the student hears it."""
STRENGTHS = (0.5, 0.75, 0.75, 1.0)
"""`denoise_strength` of later blocks."""


@dataclass(frozen=True, slots=True)
class Few:
    """The student's shipped sampling, and the teacher's finer one.

    Attributes:
        steps: of the student, over a whole schedule.
        flow_shift: of both schedules.
        substeps: the teacher's for one of the student's.
        guidance_scale: the teacher's.
    """

    steps: int
    flow_shift: float
    substeps: int
    guidance_scale: float

    def levels(self, strength: float) -> Tensor:
        """Noise levels [student's steps, substeps + 1] from each of the student's to its next."""
        fine = torch.tensor(schedule(self.steps * self.substeps, self.flow_shift))
        coarse = torch.tensor(schedule(self.steps, self.flow_shift, strength))
        rows = fine.unfold(0, self.substeps + 1, self.substeps)
        return rows[-(len(coarse) - 1) :]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Embeddings [B, T, text_dim] of the captions, as the teacher hears them, and the empty caption's as often."""

    embeds: Tensor
    heard: Tensor
    empty: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, text_encoder: UMT5EncoderModel, token_ids: Tensor, weights: Tensor) -> Prompts:
        """Of ids [B, T], which the teacher hears with weights [B, T]."""
        embeds = embed_prompts(text_encoder, token_ids)
        empty = embed_prompts(text_encoder, empty_ids(token_ids.shape[1], token_ids.device)).expand_as(embeds)
        return cls(embeds, weighted(embeds, empty, weights.unsqueeze(2)), empty)

    @property
    def both(self) -> Tensor:
        """The teacher's [2B, T, text_dim], the empty ones behind."""
        return torch.cat([self.heard, self.empty])


class Context:
    """What one network keeps of the blocks before: the sink's keys and values, and those of one block."""

    def __init__(self, networks: Networks, embeds: Tensor, pieces: Pieces) -> None:
        self._networks, self._embeds, self._pieces = networks, embeds, pieces
        self._sink: list[KeysValues] | None = None
        self._window: list[KeysValues] | None = None

    def seen(self, times: int = 1) -> list[KeysValues] | None:
        """Keys and values, each prompt's `times` behind each other."""
        held = joined(self._sink, self._window)
        if held is None or times == 1:
            return held
        return [(_stacked(key, times), _stacked(value, times)) for key, value in held]

    def keep(self, clean: Tensor, positions: Tensor) -> None:
        """Remember a block's clean latents [B, C, F, h, w] at positions [B, F]."""
        latents, where = (_stacked(x, len(self._embeds) // len(clean)) for x in (clean, positions))
        own = context_of(self._networks, latents, self._embeds, where, self.seen(), self._pieces)
        if self._sink is None:
            self._sink = own
        else:
            self._window = own


def _stacked(x: Tensor, times: int) -> Tensor:
    return x.repeat(times, *(1 for _ in x.shape[1:]))


class Lesson:
    """Student and teacher over one batch, block by block."""

    def __init__(
        self, student: Networks, teacher: Networks, prompts: Prompts, few: Few, positions: Tensor, pieces: Pieces
    ) -> None:
        self._student, self._teacher, self.prompts = student, teacher, prompts
        self._few, self._positions, self._pieces = few, positions, pieces
        self._own = Context(student, prompts.embeds, pieces)
        self._teachers = Context(teacher, prompts.both, pieces)
        self._others = [self._teachers]

    def keep(self, clean: Tensor, at: slice, *, matters: bool = True) -> None:
        """Take clean latents as the context of what follows.

        Args:
            matters: to others than the student, who see the last two blocks and the sink alone of what is in front.
        """
        for context in (self._own, *self._others) if matters else (self._own,):
            context.keep(clean, self._positions[:, at])

    def learn(self, x: Tensor, at: slice, strength: float) -> Tensor:
        """The loss of one block, with gradients.

        Args:
            x: its start [B, C, F, h, w], at the first noise level of `strength`.
        """
        levels = self._few.levels(strength).to(x.device)
        with torch.no_grad():
            states = torch.cat(list(itertools.islice(self._course(x, levels, at), len(levels))))
            sigmas = levels.repeat_interleave(len(x), 0)
            goal = self._taught(states, sigmas, at)
            target = (goal - states) / (sigmas[:, -1] - sigmas[:, 0]).view(-1, 1, 1, 1, 1)
        velocity = self._velocity(states, sigmas[:, 0], at)
        return (velocity - target).square().mean()

    def make(self, x: Tensor, at: slice, strength: float = 1.0) -> Tensor:
        """The student's clean latents of a block from its start `x`, with gradients through every step."""
        *_, x = self._course(x, self._few.levels(strength).to(x.device), at)
        return x

    def _course(self, x: Tensor, levels: Tensor, at: slice) -> Iterator[Tensor]:
        """Where the student comes through, from `x` to the clean latents."""
        yield x
        for now, then in zip(levels[:, 0], levels[:, -1], strict=True):
            x = x + (then - now) * self._velocity(x, now.expand(len(x)), at)
            yield x

    def _velocity(self, x: Tensor, sigmas: Tensor, at: slice) -> Tensor:
        times = len(x) // len(self.prompts.embeds)
        return self.run(self._student, x, sigmas, _stacked(self.prompts.embeds, times), at, self._own.seen(times))

    def _taught(self, x: Tensor, sigmas: Tensor, at: slice) -> Tensor:
        """The teacher's guided steps over noise levels [nB, substeps + 1]."""
        seen = self._teachers.seen()
        if seen is not None:
            times, both = len(x) // len(self.prompts.embeds), len(self.prompts.both)
            rows = torch.arange(both, device=x.device).view(2, 1, -1).expand(2, times, -1).flatten()
            seen = [(key[rows], value[rows]) for key, value in seen]
        for now, then in itertools.pairwise(sigmas.unbind(1)):
            x = x + (then - now).view(-1, 1, 1, 1, 1) * self.guided(x, now, at, seen)
        return x

    def guided(self, x: Tensor, sigmas: Tensor, at: slice, seen: list[KeysValues] | None) -> Tensor:
        """The teacher's guided velocity of [nB, C, F, h, w] at noise levels [nB]; the empty prompts' context behind."""
        times, count = len(x) // len(self.prompts.embeds), len(x)
        embeds = torch.cat([_stacked(part, times) for part in (self.prompts.heard, self.prompts.empty)])
        both = self.run(self._teacher, _stacked(x, 2), sigmas.repeat(2), embeds, at, seen)
        return torch.lerp(both[count:], both[:count], self._few.guidance_scale)

    def run(
        self, networks: Networks, x: Tensor, sigmas: Tensor, embeds: Tensor, at: slice, seen: list[KeysValues] | None
    ) -> Tensor:
        """A network's velocity of [nB, C, F, h, w] at noise levels [nB]."""
        times = timesteps(sigmas.double() + 1e-6)[:, None].expand(-1, x.shape[2])
        positions = _stacked(self._positions[:, at], len(x) // len(self._positions))
        inputs = x, times, embeds, positions, seen
        return cached_forward(networks.transformer, *inputs, pieces=self._pieces)[0].float()


class Distillation:
    """Student, teacher and the student's updates; one text encoder, stage 1b's, for both."""

    def __init__(self, args: argparse.Namespace, session: Session) -> None:
        source = args.folder / "flow"
        # Gradients of the teacher are never asked for, but a network that refuses them would be compiled once more.
        self.teacher = load_networks(source, session.device)
        self.student = load_networks(args.folder / args.resume if args.resume else source, session.device)
        for networks in (self.teacher, self.student):
            networks.text_encoder.requires_grad_(False)
        self.few = Few(args.steps, args.shift, args.substeps, args.guidance)
        self._pieces = Pieces.of(args.compile)
        self._optimizer = Optimizer([self.student.transformer], lr=args.lr, weight_decay=0.0)
        self.average = Average(self.student.transformer, args.average)
        self._session, self._stress = session, args.stress
        self._critic = Critic(self.teacher, session, self._pieces, args.critic_lr) if args.critic else None
        self._critic_share, self.critic_loss = args.critic, torch.zeros(())

    def step(
        self, batch: Batch, chance: random.Random, *, factor: float, ahead: int = 0, real_context: bool = False
    ) -> Tensor:
        """Roll one batch out to a block and learn from that block; returns the loss.

        Args:
            batch: its positions reach to the block at least.
            factor: of the learning rate.
            ahead: blocks that only stand in front of the one that is learnt from.
            real_context: the first two of them are the world's own.
        """
        real, device = batch.latents, batch.latents.device
        last: Tensor | None = None
        # Without a cache of casts: networks learn in here, and would go on with what they were.
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda", cache_enabled=False):
            lesson = self._lesson(batch)
            for number in range(ahead):
                if real_context and number <= 1:
                    x = real[:, :, latents_of(number)]
                else:
                    with torch.no_grad():
                        x = lesson.make(*self._start(real, last, number, chance))
                last = x[:, :, -1:]
                lesson.keep(x, latents_of(number), matters=number == 0 or number >= ahead - 2)
            x, at, strength = self._start(real, last, ahead, chance)
            loss = lesson.learn(x, at, strength)
            loss.backward()
            if self._critic is not None and ahead == 0:
                self._criticise(self._critic, lesson, real, x)
        self._session.average_gradients(self._optimizer.parameters)
        self._optimizer.step(factor)
        self.average.update()
        return loss.detach()

    def _start(
        self, like: Tensor, last: Tensor | None, number: int, chance: random.Random
    ) -> tuple[Tensor, slice, float]:
        """What `Lesson.make` takes of a block of clips like [B, C, F, h, w], from the last latent before it."""
        at = latents_of(number)
        strength = 1.0 if number == 0 else chance.choice(STRENGTHS)
        noise = torch.randn_like(like[:, :, :1].expand(-1, -1, at.stop - at.start, -1, -1))
        return start(noise, last, float(self.few.levels(strength)[0, 0])), at, strength

    def _criticise(self, critic: Critic, lesson: Lesson, real: Tensor, noise: Tensor) -> None:
        """Add the critic's gradient for first frames made from `noise`, once it has learnt to tell them."""
        embeds = lesson.prompts.embeds
        made = lesson.make(noise, slice(0, 1))
        self.critic_loss = critic.learn(real, made.detach(), embeds)
        if self.critic_loss < CRITIC_KNOWS:
            add_scaled(self._optimizer.parameters, critic.loss(made, embeds), self._critic_share)

    def _lesson(self, batch: Batch) -> Lesson:
        return Lesson(self.student, self.teacher, self._prompts(batch), self.few, batch.positions, self._pieces)

    def _prompts(self, batch: Batch) -> Prompts:
        return Prompts.of(self.teacher.text_encoder, batch.token_ids, self._stress**batch.loudness)

    def save(self, folder: Path) -> None:
        """The averaged student to `<folder>/few/`."""
        weights = self.average.state_dict(), self.student.text_encoder.state_dict()
        save_networks(folder / "few", self.student, weights)


def run(args: argparse.Namespace, make: Callable[[argparse.Namespace, Session], Distillation]) -> None:
    """Train until the time is up; the averaged student goes to `<folder>/few/`."""
    clock, session = Clock(args.minutes), Session.start(args.seed)
    chance = random.Random(args.seed)  # the same on every process: all take the same size and kind at a step
    distillation, vae = make(args, session), load_vae(args.folder, session.device)
    log = Log(args.folder / "few.jsonl" if session.is_main else None)
    supplies = {images: supply(args, session, vae, images=images) for images in (True, False)}
    shares = [0.7, *(0.3 / max(1, len(args.sizes) - 1) for _ in args.sizes[1:])]
    step, fraction, saved_s, kept = 0, 0.0, clock.seconds, Means()
    while fraction < 1 and step < args.max_steps:
        images = chance.random() < args.images_share
        ring = chance.choices(supplies[images].rings, shares)[0]
        batch = ring.batch(batch_size(args, ring), drop_captions=0.05)
        real_context = not images and chance.random() < REAL_CONTEXT_SHARE
        ahead = 0 if images else blocks_ahead(chance, args.ahead, real_context=real_context)
        if not real_context:  # from its start, a clip has no gap
            whole = torch.arange(latents_of(ahead).stop, device=session.device).expand(len(batch.latents), -1)
            batch = dataclasses.replace(batch, positions=whole)
        factor = learning_rate_factor(fraction)
        loss = distillation.step(batch, chance, factor=factor, ahead=ahead, real_context=real_context)
        kept.add("image" if images else "far" if ahead > SAMPLE_BLOCKS else "clip", loss)
        if args.critic and images:
            kept.add("critic", distillation.critic_loss)
        step += 1
        if step % DRAW_EVERY == 0:
            supplies[chance.random() < args.images_share].refresh(chance)
            synchronise(session)
            fraction = session.agree(clock.fraction)
        if session.is_main and step % 40 == 0:
            log.write(step=step, seconds=clock.seconds, **kept.take())
        if session.is_main and clock.seconds - saved_s > SAVE_EVERY_S:
            saved_s = clock.seconds
            distillation.save(args.folder)
    if session.is_main:
        distillation.save(args.folder)
        log.write(step=step, seconds=clock.seconds, saved=True)
    session.finish()


def blocks_ahead(chance: random.Random, longest: int, *, real_context: bool) -> int:
    """How many blocks stand in front of the one that is learnt from; `longest`: beyond a sample of the world."""
    if real_context:
        return chance.randint(2, SAMPLE_BLOCKS)
    drawn = chance.random()
    if drawn < SECOND_SHARE:
        return 1
    if drawn < SECOND_SHARE + LONG_SHARE:
        return SAMPLE_BLOCKS + chance.randint(1, longest)
    return chance.randint(2, SAMPLE_BLOCKS)


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """Of what all lessons need."""
    parser = new_supply_parser(description)
    parser.add_argument("--resume", default="", help="folder of the run to start the student from, instead of flow")
    parser.add_argument("--steps", type=int, default=4, help="of the shipped sampler")
    parser.add_argument("--shift", type=float, default=5.0)
    parser.add_argument("--substeps", type=int, default=3, help="of the teacher for one of the student's")
    parser.add_argument("--guidance", type=float, default=3.0, help="of the teacher")
    parser.add_argument("--stress", type=float, default=1.0, help="weight with which the teacher hears of rain")
    parser.add_argument("--images-share", type=float, default=0.5, help="of the steps: first frames alone")
    parser.add_argument(
        "--ahead", type=int, default=FAR_BLOCKS, help="blocks, at most, of roll-outs beyond a sample of the world"
    )
    parser.add_argument("--average", type=float, default=0.99)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument(
        "--critic", type=float, default=0.0, help="norm of the critic's gradient, relative to the lesson's; 0: none"
    )
    parser.add_argument("--critic-lr", type=float, default=5e-4)
    return parser


def main() -> None:
    """Distil."""
    run(new_parser(__doc__).parse_args(), Distillation)


if __name__ == "__main__":
    main()
