"""Stage 3: make the network few-step and used to its own context, by matching distributions on its own roll-outs.

Owns the roll-out, the three networks and their updates. Does not know how stage 2 was trained. The *student* makes
clips block by block from its own blocks, with the shipped steps and no guidance; at one random step a block it gets
gradients. The *teacher* is stage 2 on whole clips with guidance; the *critic* learns, as stage 2 did, what the clips of
the student look like. The student moves from where the critic would move a noised clip of its own to where the teacher
would.

Nothing is compiled: three networks with and without gradients make so many graphs that a run of four minutes was over
before they were.

    training/launch.sh training.distill --minutes 6 --folder .train/run --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import dataclasses
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer

from training import config
from training.config import BLOCK_LATENTS
from training.flow import noised, random_sigmas, shift, timesteps
from training.forward import KeysValues, cached_forward
from training.latents import END_TOKEN, SAMPLE_LATENTS, Batch, Drawings, LatentRing, loader
from training.networks import Networks, embed_prompts, load_networks, save_networks
from training.optimizer import Optimizer
from training.sampler import context_of, denoise, joined, schedule, start
from training.session import Average, Clock, Log, Session, save, synchronise
from training.vae import load_vae

CRITIC_STEPS = 2
"""Updates of the critic on each roll-out."""
SAVE_EVERY_S = 45.0
REAL_CONTEXT_SHARE = 0.4
"""Roll-outs that start from the world's own latent 0 and first block, at any place in the clip."""


@dataclass(frozen=True, slots=True)
class Few:
    """The student's shipped sampling."""

    steps: int
    flow_shift: float


def roll_out(
    student: Networks,
    batch: Batch,
    embeds: Tensor,
    few: Few,
    chance: random.Random,
    *,
    real_context: bool,
) -> tuple[Tensor, Tensor]:
    """A clip of the student.

    Args:
        batch: its shapes and positions; its latents are taken only as real context.
        chance: the same on every process.
        real_context: whether latent 0 and the first block are the world's own.

    Returns:
        Clean latents like `batch.latents`, with gradients through one step of each block made, and which latents were
        made: bool [latents].
    """
    real, length = batch.latents, batch.latents.shape[2]
    parts: list[Tensor] = []
    sink: list[KeysValues] | None = None
    window: list[KeysValues] | None = None
    made = torch.ones(length, dtype=torch.bool, device=real.device)
    for first in [0, *range(1, length, BLOCK_LATENTS)]:
        at = slice(first, first + (1 if first == 0 else BLOCK_LATENTS))
        positions, context = batch.positions[:, at], joined(sink, window)
        if real_context and first <= 1:
            x = real[:, :, at]
            made[at] = False
        else:
            strength = 1.0 if first == 0 else chance.uniform(0.5, 1.0)
            sigmas = schedule(few.steps, few.flow_shift, strength)
            last = parts[-1][:, :, -1:].detach() if parts else None
            x = start(torch.randn_like(real[:, :, at]), last, sigmas[0])
            learn_at = chance.randrange(len(sigmas) - 1)
            x = denoise(student, x, sigmas, embeds, positions, context, learn_at=learn_at)
        parts.append(x)
        if at.stop >= length:
            break
        own = context_of(student, x.detach(), embeds, positions, context)
        sink, window = (own, None) if sink is None else (sink, own)
    return torch.cat(parts, 2), made


def clean_estimate(networks: Networks, x: Tensor, sigmas: Tensor, embeds: Tensor, positions: Tensor) -> Tensor:
    """What a network takes the clean whole clip to be, from one at the noise levels [B, F]."""
    velocity, _ = cached_forward(networks.transformer, x, timesteps(sigmas), embeds, positions)
    return x - sigmas[:, None, :, None, None] * velocity


def matching_loss(
    clip: Tensor, made: Tensor, teacher: Networks, critic: Networks, embeds: Tensor, empty: Tensor, batch: Batch,
    guidance_scale: float,
) -> Tensor:  # fmt: skip
    """A loss whose gradient on the clip is (critic's clean estimate - teacher's), scaled by the teacher's distance."""
    with torch.no_grad():
        u = torch.rand(len(clip), 1, device=clip.device) * 0.96 + 0.02
        sigmas = shift(u).expand(-1, clip.shape[2])
        x = noised(clip, torch.randn_like(clip), sigmas)
        twice = x.repeat(2, 1, 1, 1, 1), sigmas.repeat(2, 1), torch.cat([embeds, empty]), batch.positions.repeat(2, 1)
        wanted, plain = clean_estimate(teacher, *twice).chunk(2)
        goal = plain + guidance_scale * (wanted - plain)
        shown = clean_estimate(critic, x, sigmas, embeds, batch.positions)
        scale = (clip - goal).abs().mean((1, 2, 3, 4), keepdim=True).clamp(min=1e-3)
        target = clip - torch.nan_to_num((shown - goal) / scale)
    error = (clip.float() - target.float()).square().mean((0, 1, 3, 4))
    return 0.5 * (error * made).sum() / made.sum()


def critic_loss(critic: Networks, clip: Tensor, embeds: Tensor, batch: Batch) -> Tensor:
    """Rectified flow on the student's clips, whole."""
    noise = torch.randn_like(clip)
    sigmas = random_sigmas((len(clip), 1), clip.device).expand(-1, clip.shape[2])
    inputs = noised(clip, noise, sigmas), timesteps(sigmas), embeds, batch.positions
    velocity, _ = cached_forward(critic.transformer, *inputs)
    return (velocity - (noise - clip)).square().mean()


class Game:
    """The three networks and their updates; one text encoder, stage 1b's, for all."""

    def __init__(self, args: argparse.Namespace, session: Session) -> None:
        source = args.folder / "flow"
        self.teacher = load_networks(source, session.device).requires_grad_(False)
        self.critic = load_networks(source, session.device)
        self.student = load_networks(args.folder / args.resume if args.resume else source, session.device)
        for networks in (self.critic, self.student):
            networks.text_encoder.requires_grad_(False)
        self.few, self.guidance = Few(args.steps, args.shift), args.guidance
        self._student_optimizer = Optimizer([self.student.transformer], lr=args.lr, weight_decay=0.0)
        self._critic_optimizer = Optimizer([self.critic.transformer], lr=args.critic_lr, weight_decay=0.0)
        self.average = Average(self.student.transformer, args.average)
        self._session = session

    def play(self, batch: Batch, chance: random.Random, *, real_context: bool, factor: float) -> tuple[Tensor, Tensor]:
        """One roll-out; the student learns from it at `factor` times its rate (not at all for 0), the critic always.

        Returns:
            The matching loss and the critic's.
        """
        device = batch.latents.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            with torch.no_grad():
                empty_ids = torch.zeros_like(batch.token_ids[:1])
                empty_ids[:, 0] = END_TOKEN
                embeds = embed_prompts(self.teacher.text_encoder, batch.token_ids)
                empty = embed_prompts(self.teacher.text_encoder, empty_ids).expand_as(embeds)
            rolled = self.student, batch, embeds, self.few, chance
            clip, made = roll_out(*rolled, real_context=real_context)
            loss = clip.new_zeros(())
            if factor > 0:
                judges = self.teacher, self.critic, embeds, empty, batch, self.guidance
                loss = matching_loss(clip, made, *judges)
        if factor > 0:
            loss.backward()
            self._session.average_gradients(self._student_optimizer.parameters)
            self._student_optimizer.step(factor)
            self.average.update()
        judged = loss
        for _ in range(CRITIC_STEPS):
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                judged = critic_loss(self.critic, clip.detach(), embeds, batch)
            judged.backward()
            self._session.average_gradients(self._critic_optimizer.parameters)
            self._critic_optimizer.step(1.0)
        return loss.detach(), judged.detach()

    def save(self, folder: Path) -> None:
        """The averaged student to `<folder>/few/`."""
        weights = self.average.state_dict(), self.student.text_encoder.state_dict()
        save_networks(folder / "few", self.student, weights)


def main() -> None:
    """Train until the time is up; the averaged student goes to `<folder>/few/`."""
    args = _arguments()
    clock = Clock(args.minutes)
    session = Session.start(args.seed)
    device, chance = session.device, random.Random(args.seed)
    game = Game(args, session)
    log = Log(args.folder / "few.jsonl" if session.is_main else None)
    images, clips = _rings(args, session, images=True), _rings(args, session, images=False)
    step, fraction, saved_s = 0, 0.0, clock.seconds
    while fraction < 1 and step < args.max_steps:
        ring = chance.choice(images if chance.random() < args.images_share else clips)
        batch = ring.batch(_batch_size(args, ring), drop_captions=0.0)
        real_context = not ring.images and chance.random() < REAL_CONTEXT_SHARE
        if not real_context:  # from its start, a clip has no gap
            batch = dataclasses.replace(
                batch, positions=torch.arange(batch.latents.shape[2], device=device).expand_as(batch.positions)
            )
        factor = min(1.0, 4 * (1 - fraction)) if fraction > args.critic_first else 0.0
        loss, judged = game.play(batch, chance, real_context=real_context, factor=factor)
        step += 1
        if step % 10 == 0:
            synchronise(session)
            fraction = session.agree(clock.fraction)
        if session.is_main and step % 50 == 0:
            log.write(step=step, seconds=clock.seconds, matching=float(loss), critic=float(judged))
        if session.is_main and clock.seconds - saved_s > SAVE_EVERY_S:
            saved_s = clock.seconds
            game.save(args.folder)
    if session.is_main:
        game.save(args.folder)
        save(args.folder / "few_state.pt", {"critic": game.critic.transformer.state_dict(), "step": step})
        log.write(step=step, seconds=clock.seconds, saved=True)
    session.finish()


def _rings(args: argparse.Namespace, session: Session, *, images: bool) -> list[LatentRing]:
    """Some samples of each size: words, positions and real context; they are not learnt from."""
    tokenizer, vae = AutoTokenizer.from_pretrained(args.tokenizer), load_vae(args.folder, session.device)
    seed, count = args.seed * 1000 + session.rank + 77, args.clips * (4 if images else 1)
    source = Drawings(tokenizer, seed=seed, clips=count, captions=8, far=None if images else 0.5)
    drawings = loader(source, args.workers)
    rings: list[LatentRing] = []
    for text in args.sizes:
        ring = LatentRing(config.Size.parse(text), count * args.drawings, session.device, images=images)
        for _ in range(args.drawings):
            ring.add(vae, next(drawings))
        rings.append(ring)
    return rings


def _batch_size(args: argparse.Namespace, ring: LatentRing) -> int:
    height, width = ring.size.latent
    return max(1, round(args.tokens / ((1 if ring.images else SAMPLE_LATENTS) * height * width / 4)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="of the run: vae.pt and flow/ are read, few/ is written"
    )
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--resume", default="", help="folder of the run to start the student from, instead of flow")
    parser.add_argument("--sizes", nargs="+", default=["768x448"])
    parser.add_argument("--steps", type=int, default=4, help="of the shipped sampler")
    parser.add_argument("--shift", type=float, default=5.0)
    parser.add_argument("--guidance", type=float, default=3.5, help="of the teacher")
    parser.add_argument("--tokens", type=int, default=40_000, help="of the clean clips of one step")
    parser.add_argument("--images-share", type=float, default=0.5, help="of the steps: first frames alone")
    parser.add_argument("--clips", type=int, default=24, help="clips rendered at once")
    parser.add_argument("--drawings", type=int, default=12, help="drawings for each size")
    parser.add_argument(
        "--critic-first", type=float, default=0.06, help="part of the time in which the critic learns alone"
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--average", type=float, default=0.99)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--critic-lr", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
