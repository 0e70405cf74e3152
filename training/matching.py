"""Stage 3b: sharpen the few-step student by matching the distribution of its clips, not the teacher's course.

Owns the second network and the two losses. Does not know how clips are rolled out: that is `training.distill`'s. A
student that learns where its teacher goes, step by step, is soft where it is not sure: it learns the mean. Here it is
told in which direction its clips are less likely to be the teacher's than its own: the difference between the guided
teacher's velocity and that of a network which learns the student's clips as they are (distribution matching
distillation, arXiv 2311.18828 and 2405.14867; on a model's own roll-outs, arXiv 2506.08009).

    training/launch.sh training.matching --minutes 12 --folder .train/run --tokenizer .train/tokenizer --resume few
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pipeline.weave import weave
from training import distill
from training.distill import Context, Distillation, Few, Lesson, Prompts
from training.flow import noised, random_sigmas
from training.forward import Pieces
from training.latents import Batch
from training.networks import Networks, load_networks
from training.optimizer import Optimizer
from training.reward import Reward, Said
from training.session import Session

SIGMAS = (0.02, 0.98)
"""Noise levels at which clips are compared: at the ends the difference says nothing."""
PRAISE_NEW = 0.02
"""Share of the newest size in the running mean."""
FLAT = 1.0
"""Weight of what a clip loses by its weave: a few tenths of the matching's gradient where it shows."""


class Match(Lesson):
    """One batch: besides student and teacher a *fake*, which learns what the student makes.

    Besides, what most tokens of a clip have alike costs: hardly anything of the world repeats as they do
    (`training.texture`).

    Args:
        fake: begins as the teacher.
        update: takes the fake's loss and makes one update of it.
        updates: of the fake for each block.
        praise: what to add to the gradient, of clean latents, their positions and the gradient there is.
    """

    def __init__(
        self,
        student: Networks,
        teacher: Networks,
        prompts: Prompts,
        few: Few,
        positions: Tensor,
        pieces: Pieces,
        *,
        fake: Networks,
        update: Callable[[Tensor], None],
        updates: int,
        praise: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(student, teacher, prompts, few, positions, pieces)
        self._praise = praise
        self._fake, self._update, self._updates = fake, update, updates
        self._fakes = Context(fake, self.prompts.embeds, self._pieces)
        self._others.append(self._fakes)

    def learn(self, x: Tensor, at: slice, strength: float) -> Tensor:
        made = self.make(x, at, strength)
        # Before the fake has learnt these very clips, and not only their kind.
        loss = self._matched(made, at) + FLAT * weave(made).square().mean()
        clean = made.detach()
        for _ in range(self._updates):
            self._update(self._flow_loss(clean, at))
        return loss

    def _flow_loss(self, clean: Tensor, at: slice) -> Tensor:
        """What the fake learns: rectified flow on the student's clips."""
        noise, sigmas = torch.randn_like(clean), self._sigmas(clean)
        velocity = self._fake_velocity(noised(clean, noise, _by_latent(sigmas, clean)), sigmas, at)
        return (velocity - (noise - clean)).square().mean()

    def _matched(self, made: Tensor, at: slice) -> Tensor:
        """The student's loss, whose gradient leads from what the fake knows to what the teacher knows."""
        with torch.no_grad():
            clean, sigmas = made.detach(), self._sigmas(made)
            noisy = noised(clean, torch.randn_like(clean), _by_latent(sigmas, clean))
            level = sigmas.view(-1, 1, 1, 1, 1)
            wanted = noisy - level * self.guided(noisy, sigmas, at, self._teachers.seen())
            own = noisy - level * self._fake_velocity(noisy, sigmas, at)
            size = (clean - wanted).abs().mean((1, 2, 3, 4), keepdim=True).clamp(min=1e-4)
            away = (own - wanted) / size
            if self._praise is not None:
                away = away + self._praise(clean, self._positions[:, at], away)
            target = clean - away
        return 0.5 * (made - target).square().mean()

    def _fake_velocity(self, x: Tensor, sigmas: Tensor, at: slice) -> Tensor:
        return self.run(self._fake, x, sigmas, self.prompts.embeds, at, self._fakes.seen())

    @staticmethod
    def _sigmas(clean: Tensor) -> Tensor:
        return random_sigmas((len(clean),), clean.device).clamp(*SIGMAS)


def _by_latent(sigmas: Tensor, clean: Tensor) -> Tensor:
    return sigmas[:, None].expand(-1, clean.shape[2])


class Praise:
    """The reward's gradient for one batch, at a share of the size of another.

    Its size against the other's is a running mean, so that a batch that shows all of what is said moves little.
    """

    def __init__(self, reward: Reward, share: float) -> None:
        self._reward, self._share = reward, share
        self._sizes: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, prompts: Prompts, token_ids: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        """What `Match` takes, for one batch: prompts with their ids [B, T]."""
        return partial(self._more, self._reward.said(prompts.embeds, token_ids))

    def _more(self, said: Said, clean: Tensor, positions: Tensor, away: Tensor) -> Tensor:
        """What to add to `away` [B, C, F, h, w], the gradient at `clean`."""
        more = self._reward.gradient(clean, said, positions)
        now = away.norm(), more.norm()
        kind = clean.shape[2]
        held = self._sizes.get(kind, now)
        self._sizes[kind] = held[0].lerp(now[0], PRAISE_NEW), held[1].lerp(now[1], PRAISE_NEW)
        other, own = self._sizes[kind]
        return self._share * other / own.clamp(min=1e-12) * more


class Matching(Distillation):
    """`Distillation` by `Match`; `<folder>/<resume>` has to be a few-step student already."""

    def __init__(self, args: argparse.Namespace, session: Session) -> None:
        super().__init__(args, session)
        self.fake = load_networks(args.folder / "flow", session.device)
        self.fake.text_encoder.requires_grad_(False)
        self._fake_optimizer = Optimizer([self.fake.transformer], lr=args.fake_lr, weight_decay=0.0)
        self._updates, self._alone, self._fake_factor = args.fake_updates, args.fake_first, 0.0
        reward = Reward.load(args.folder, self.teacher, self._pieces) if args.reward else None
        self._praise = Praise(reward, args.reward) if reward else None

    def _lesson(self, batch: Batch) -> Match:
        prompts = self._prompts(batch)
        praise = self._praise.of(prompts, batch.token_ids) if self._praise else None
        known = self.student, self.teacher, prompts, self.few, batch.positions, self._pieces
        return Match(*known, fake=self.fake, update=self._learn_fake, updates=self._updates, praise=praise)

    def step(
        self, batch: Batch, chance: random.Random, *, factor: float, ahead: int = 0, real_context: bool = False
    ) -> Tensor:
        """As `Distillation.step`; while the second network still knows the teacher alone, the student stands still."""
        self._fake_factor = min(1.0, 2 * factor)  # slows down later than the student that it follows
        factor = 0.0 if self._alone > 0 else factor
        self._alone -= 1
        return super().step(batch, chance, factor=factor, ahead=ahead, real_context=real_context)

    def _learn_fake(self, loss: Tensor) -> None:
        loss.backward()
        self._session.average_gradients(self._fake_optimizer.parameters)
        self._fake_optimizer.step(self._fake_factor)


def main() -> None:
    """Match."""
    parser = distill.new_parser(__doc__)
    parser.add_argument("--fake-lr", type=float, default=8e-4)
    parser.add_argument("--fake-updates", type=int, default=2, help="of the second network for each block")
    parser.add_argument("--fake-first", type=int, default=12, help="steps in which the second network learns alone")
    parser.add_argument(
        "--reward", type=float, default=0.0, help="norm of the reward's gradient, relative to the matching's; 0: none"
    )
    distill.run(parser.parse_args(), Matching)


if __name__ == "__main__":
    main()
