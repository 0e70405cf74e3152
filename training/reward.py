"""Stage 2c: a reward for showing what is said: one network reads captions, another reads latents.

Owns both, their training and what a clip loses by them. Does not know how clips are made. What a caption says is read
from its embeddings (`training.text_encoder.Reader`); what latents show is read by a copy of the teacher with heads on
its layers. It is given the empty caption, so that it can tell nothing but what it sees, and latents noised to a random
level, so that no single cell decides. Both learn from the world alone. Stage 3b then adds the gradient with
which its clips would be read as their captions are (reward feedback learning, arXiv 2304.05977): a student can become
better than its teacher where the teacher itself does not listen. `bench.quality` reads pixels with judges of its own,
which were never trained with these.

    training/launch.sh training.reward --minutes 5 --folder .train/run --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import random
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import AutoTokenizer

from training.critic import EVERY_LAYER, noised_layers
from training.forward import Pieces
from training.latents import SAMPLE_BLOCKS, Batch, LatentRing, empty_ids, latents_of
from training.networks import Networks, embed_prompts, load_networks
from training.optimizer import Optimizer
from training.session import Clock, Log, Means, Session, learning_rate_factor, load, save
from training.supply import batch_size, new_supply_parser, supply
from training.text_encoder import CLASSES, Captions, Reader, reading_loss
from training.vae import load_vae

REWARD_FILE = "reward.pt"
HIGHEST_SIGMA = 0.5
"""Of the noise on what is read: above it small subjects do not show, nor rain but for the grey that comes with it."""
GLIMPSES = 4
"""Places that a head gathers from."""
SURE = 0.8
"""Probability from which on a caption counts as saying something."""
MOVING = frozenset({"motion", "camera", "pace"})
"""A single picture does not show them."""
FAINT_SHARE = 0.3
"""Of rain, snow and fog: so faint that it is to be read as fine weather, for what few steps blur away is no rain."""
EMPHASIS = {"count": 2.0, "weather": 2.0, "scene": 1.5, "style": 1.5}
"""How many times an attribute counts: what students get wrong most, one thing that became two and rain too thin."""
CAPTIONS_SHARE = 0.2
"""Of the time: what captions say."""
DRAW_EVERY = 10
"""Steps between drawings of new samples and looks at the clock."""
TEST_DRAWINGS = 4
"""Of each kind, at the end, to say how often it is right."""


class ClipReader(nn.Module):
    """By attribute, an answer from `GLIMPSES` attentions over a transformer's layers and from their mean.

    Args:
        width: D of the layers.
        count: of the layers.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mix = nn.Linear(count * width, width)
        self.look = nn.Linear(width, len(CLASSES) * GLIMPSES)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear((GLIMPSES + 1) * width, width), nn.GELU(), nn.Linear(width, len(values)))
                for name, values in CLASSES.items()
            }
        )

    def forward(self, layers: list[Tensor], latents: int) -> dict[str, Tensor]:
        """Layers, each [B * latents, tokens, D], to logits by attribute, [B, classes]."""
        x = F.gelu(self.mix(torch.cat([self.norm(layer) for layer in layers], 2)))
        x = x.unflatten(0, (-1, latents)).flatten(1, 2)
        where = self.look(x).float().softmax(1).unflatten(2, (len(CLASSES), GLIMPSES))
        looked = torch.einsum("bnag,bnd->bagd", where.to(x.dtype), x).flatten(2)
        mean = x.mean(1)
        return {name: head(torch.cat([looked[:, at], mean], 1)) for at, (name, head) in enumerate(self.heads.items())}


@dataclass(frozen=True, slots=True)
class Said:
    """What captions say: classes [B, attributes] int64 in the order of `CLASSES`, and where they say something."""

    labels: Tensor
    known: Tensor


class Reward:
    """What reads captions, and what reads latents; both begin from one teacher, which stays as it is."""

    def __init__(self, teacher: Networks, pieces: Pieces) -> None:
        self._pieces = pieces
        self.sees = copy.deepcopy(teacher.transformer)
        blocks, text_dim = self.sees.blocks, int(self.sees.config.text_dim)
        device = next(self.sees.parameters()).device
        with torch.no_grad():
            self._empty = embed_prompts(teacher.text_encoder, empty_ids(2, device))
        self._emphasis = torch.tensor([EMPHASIS.get(name, 1.0) for name in CLASSES], device=device)
        self.text = Reader(text_dim).to(device)
        self.clips = ClipReader(blocks[0].attn1.to_q.in_features, len(blocks) // EVERY_LAYER).to(device)

    @classmethod
    def load(cls, folder: Path, teacher: Networks, pieces: Pieces) -> Reward:
        """Read what `save` wrote."""
        made, states = cls(teacher, pieces), load(folder / REWARD_FILE)
        for name, module in made.modules.items():
            module.load_state_dict({key: value.float() for key, value in states[name].items()})
        return made

    def save(self, folder: Path) -> None:
        """Write all to `<folder>/reward.pt`, in half precision."""
        halves = {
            name: {key: value.half().cpu() for key, value in module.state_dict().items()}
            for name, module in self.modules.items()
        }
        save(folder / REWARD_FILE, halves)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is trained, by name."""
        return {"text": self.text, "sees": self.sees, "clips": self.clips}

    @torch.no_grad()
    def said(self, embeds: Tensor, token_ids: Tensor) -> Said:
        """Read captions: embeddings [B, T, D] and ids [B, T]."""
        logits = self.text(embeds, token_ids)
        sure = [logits[name].float().softmax(1).max(1) for name in CLASSES]
        labels = torch.stack([best.indices for best in sure], 1)
        return Said(labels, torch.stack([best.values > SURE for best in sure], 1))

    def read(self, latents: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """What noised latents show.

        Args:
            latents: [B, C, F, h, w], normalised: a first frame or a block.
            positions: [B, F] in their clip.

        Returns:
            Logits by attribute, [B, classes].
        """
        embeds = self._empty.expand(len(latents), -1, -1)
        layers = noised_layers(self.sees, latents, embeds, positions, HIGHEST_SIGMA, self._pieces)
        return self.clips(layers, latents.shape[2])

    def loss(self, logits: dict[str, Tensor], said: Said) -> Tensor:
        """Cross-entropy of what is shown against what is said, the mean over all that is said, by `EMPHASIS`."""
        losses = [
            F.cross_entropy(logits[name].float(), said.labels[:, at], reduction="none")
            for at, name in enumerate(CLASSES)
        ]
        weights = self._emphasis * said.known
        return (torch.stack(losses, 1) * weights).sum() / weights.sum().clamp(min=1)

    def gradient(self, made: Tensor, said: Said, positions: Tensor) -> Tensor:
        """Of the loss with regard to latents; arguments as of `read`."""
        with torch.enable_grad():
            latents = made.detach().requires_grad_()
            logits = self.read(off_grid(latents), positions)
            return torch.autograd.grad(self.loss(logits, _visible(said, latents)), latents)[0]


def off_grid(latents: Tensor) -> Tensor:
    """Latents [B, C, F, h, w] with or, by chance, without the cells at two or at all borders.

    So no cell is always at the same place of a token, and what is read cannot be woven into all tokens alike.
    """
    down, right = (int(x) for x in torch.randint(2, (2,)))
    height, width = latents.shape[3:]
    return latents[:, :, :, down : height - down, right : width - right]


def _visible(said: Said, latents: Tensor) -> Said:
    """Without what a single picture does not show."""
    if latents.shape[2] > 1:
        return said
    shows = torch.tensor([name not in MOVING for name in CLASSES], device=latents.device)
    return Said(said.labels, said.known & shows)


def main() -> None:
    """Train until the time is up; `<folder>/reward.pt` is written, how often it is right goes to reward.jsonl."""
    parser = new_supply_parser(__doc__)
    parser.add_argument("--lr", type=float, default=2e-3, help="of the heads")
    parser.add_argument("--sees-lr", type=float, default=6e-4, help="of the teacher's copy")
    parser.add_argument("--images-share", type=float, default=0.5, help="of the steps: first frames alone")
    parser.add_argument("--captions", type=int, default=1024, help="read at once")
    parser.add_argument("--resume", action="store_true", help="go on with the run's reward; captions are read already")
    args = parser.parse_args()
    clock, session, chance = Clock(args.minutes), Session.start(args.seed), random.Random(args.seed)
    teacher = load_networks(args.folder / "flow", session.device)
    teacher.text_encoder.requires_grad_(False)
    pieces = Pieces.of(args.compile)
    log = Log(args.folder / "reward.jsonl" if session.is_main else None)
    reward = Reward.load(args.folder, teacher, pieces) if args.resume else Reward(teacher, pieces)
    for module in reward.modules.values():
        session.broadcast(module)
    if not args.resume:
        _read_captions(args, reward, teacher, session, clock, log)
    vae = load_vae(args.folder, session.device)
    supplies = {images: supply(args, session, vae, images=images, faint=FAINT_SHARE) for images in (True, False)}
    optimizers = [Optimizer([reward.clips], lr=args.lr), Optimizer([reward.sees], lr=args.sees_lr)]
    kept, step, began, fraction = Means(), 0, clock.fraction, 0.0
    while fraction < 1 and step < args.max_steps:
        images = chance.random() < args.images_share
        ring = chance.choice(supplies[images].rings)
        loss = _shown(reward, teacher, _part(args, ring, chance))[0]
        loss.backward()
        for optimizer in optimizers:
            session.average_gradients(optimizer.parameters)
            optimizer.step(learning_rate_factor(fraction))
        kept.add("image" if images else "block", loss)
        step += 1
        if step % DRAW_EVERY == 0:
            supplies[chance.random() < args.images_share].refresh(chance)
            fraction = session.agree((clock.fraction - began) / max(1e-6, 1 - began))
        if session.is_main and step % 100 == 0:
            log.write(step=step, seconds=clock.seconds, **kept.take())
    if session.is_main:
        reward.save(args.folder)
        for images, held in supplies.items():
            new = LatentRing(held.rings[0].size, TEST_DRAWINGS * 8 * args.clips, session.device, images=images)
            for _ in range(TEST_DRAWINGS):
                new.add(vae, next(held.drawings))
            with torch.no_grad():
                logits, said = _shown(reward, teacher, _part(args, new, chance))[1:]
            log.write(kind="images" if images else "blocks", **_accuracy(logits, said))
    session.finish()


def _read_captions(
    args: argparse.Namespace, reward: Reward, teacher: Networks, session: Session, clock: Clock, log: Log
) -> None:
    """Teach what reads captions; the encoder stays as it is."""
    seed = args.seed * 1000 + session.rank
    captions = Captions(AutoTokenizer.from_pretrained(args.tokenizer), args.captions, seed, others=True)
    batches = iter(DataLoader(captions, batch_size=None, num_workers=args.workers))
    optimizer, step, share = Optimizer([reward.text], lr=args.lr), 0, 0.0
    losses: dict[str, Tensor] = {}
    while share < 1 and step < args.max_steps:
        ids, labels = (tensor.to(session.device) for tensor in next(batches))
        with torch.no_grad():
            embeds = embed_prompts(teacher.text_encoder, ids)
        losses = reading_loss(reward.text(embeds, ids), labels)
        torch.stack(list(losses.values())).sum().backward()
        session.average_gradients(optimizer.parameters)
        optimizer.step(learning_rate_factor(share))
        step += 1
        share = session.agree(clock.fraction / CAPTIONS_SHARE)
    if session.is_main:
        log.write(captions=step, seconds=clock.seconds, **{name: float(loss.detach()) for name, loss in losses.items()})


def _part(args: argparse.Namespace, ring: LatentRing, chance: random.Random) -> Batch:
    """Samples, of clips one of their later blocks."""
    batch = ring.batch(batch_size(args, ring), drop_captions=0.0)
    if ring.images:
        return batch
    at = latents_of(1 + chance.randrange(SAMPLE_BLOCKS))
    return dataclasses.replace(batch, latents=batch.latents[:, :, at], positions=batch.positions[:, at])


def _shown(reward: Reward, teacher: Networks, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Said]:
    """Loss, logits and what the captions say."""
    device = batch.latents.device
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        with torch.no_grad():
            said = reward.said(embed_prompts(teacher.text_encoder, batch.token_ids), batch.token_ids)
        said = _visible(said, batch.latents)
        logits = reward.read(off_grid(batch.latents), batch.positions)
        return reward.loss(logits, said), logits, said


def _accuracy(logits: dict[str, Tensor], said: Said) -> dict[str, float]:
    """By attribute, of what captions say the share that latents are read to show."""
    right = torch.stack([logits[name].argmax(1) for name in CLASSES], 1) == said.labels
    shares = (right & said.known).sum(0) / said.known.sum(0).clamp(min=1)
    return dict(zip(CLASSES, shares.tolist(), strict=True))


if __name__ == "__main__":
    main()
