"""Training of the judges: a pool of drawn clips that is renewed all the time, augmented as a VAE would change them.

Owns the pool, the augmentation, the loss and the schedule. Knows the renderer only through `render`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.judges import render
from bench.judges.labels import HEADS, UNDEFINED
from bench.judges.network import Judge
from training.session import Average, Clock, Log, learning_rate_factor, load, save

HEAD_WEIGHTS: dict[str, float] = {"colour": 2.0, "count": 2.0, "subject": 1.5}
BLURS = (0.0, 0.5, 0.8, 1.2)
"""Standard deviations in pixels at the judges' size."""
LOG_SECONDS: dict[str, float] = {"cuda": 20.0, "cpu": 300.0}

Batch = tuple[Tensor, Tensor]
Source = Callable[[], Batch]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        batch: clips of a step.
        steps_per_fresh: steps between two renewals of a part of the pool.
        lr: peak learning rate of AdamW.
    """

    batch: int
    steps_per_fresh: int
    lr: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.998


class Pool:
    """A ring of clips on one device.

    Args:
        capacity: clips; beyond it the oldest give way.
    """

    def __init__(self, capacity: int, device: torch.device) -> None:
        self._capacity, self._device, self._next = capacity, device, 0
        self._clips: Tensor | None = None
        self._labels = torch.empty(0)
        self.size = 0

    def add(self, clips: Tensor, labels: Tensor) -> None:
        """Put clips uint8 [B, …] and labels int8 [B, heads] in."""
        if self._clips is None:
            self._clips = torch.empty(self._capacity, *clips.shape[1:], dtype=torch.uint8, device=self._device)
            self._labels = torch.empty(self._capacity, labels.shape[1], dtype=torch.int8, device=self._device)
        at = (torch.arange(len(clips)) + self._next) % self._capacity
        at = at.to(self._device)
        self._clips[at] = clips.to(self._device)
        self._labels[at] = labels.to(self._device)
        self._next = (self._next + len(clips)) % self._capacity
        self.size = min(self._capacity, self.size + len(clips))

    def take(self, count: int) -> Batch:
        """A random batch."""
        if self._clips is None:
            raise ValueError("the pool is empty")
        at = torch.randint(self.size, (count,), device=self._device)
        return self._clips[at], self._labels[at]


@dataclass(frozen=True, slots=True)
class Supply:
    """Where a part of every batch comes from.

    Attributes:
        source: gives some new clips at each call.
        pool: which these renew.
        share: of a batch; those of all supplies sum to 1.
        first: clips that the pool has before the first step.
    """

    source: Source
    pool: Pool
    share: float
    first: int


def shards(folder: Path, rng: random.Random) -> Iterator[Batch]:
    """Shards of a cache in random order for ever; those that are drawn meanwhile are seen in the next round.

    Raises:
        FileNotFoundError: there are none.
    """
    while True:
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            raise FileNotFoundError(f"{folder}: no shards; draw some by `python -m bench.judges draw`")
        rng.shuffle(paths)
        for path in paths:
            yield render.read(path)


def augment(clips: Tensor) -> Tensor:
    """uint8 [B, T, 3, H, W] to float [0, 1], changed as a round trip through a VAE changes a clip, and moved a little.

    Blur, soft blotches, brightness, contrast and saturation by some per cent: never so much that a colour is another.
    """
    batch, device = len(clips), clips.device
    x = clips.float() / 255.0
    x = torch.cat([_blurred(part, BLURS[i]) for i, part in enumerate(x.tensor_split(len(BLURS)))])
    x = _shifted(x, *(int(torch.randint(-4, 5, ())) for _ in range(2)))

    def each(low: float, high: float) -> Tensor:
        return torch.empty(batch, 1, 1, 1, 1, device=device).uniform_(low, high)

    grey = x.mean(2, keepdim=True)
    x = grey + (x - grey) * each(0.88, 1.12)
    x = (x - 0.5) * each(0.9, 1.1) + 0.5 + each(-0.04, 0.04)
    height, width = x.shape[-2:]
    frames = x.shape[1] * x.shape[2]
    blotches = torch.randn(1, frames, height // 6, width // 6, device=device)
    blotches = F.interpolate(blotches, (height, width), mode="bilinear").view(1, *x.shape[1:])
    grain = torch.randn(1, *x.shape[1:], device=device)  # one pattern a batch: noise is dear on a CPU
    x = x + blotches * each(-0.03, 0.03) + grain * each(-0.015, 0.015)
    return x.clamp(0.0, 1.0)


def loss_of(logits: dict[str, Tensor], labels: Tensor) -> Tensor:
    """Weighted mean over the heads of the cross-entropy of the answers that exist."""
    total = torch.zeros((), device=labels.device)
    for column, name in enumerate(HEADS):
        answers = labels[:, column].long()
        known = (answers != UNDEFINED).sum().clamp_min(1)
        summed = F.cross_entropy(logits[name], answers, ignore_index=UNDEFINED, reduction="sum")
        total = total + HEAD_WEIGHTS.get(name, 1.0) * summed / known
    return total / len(HEADS)


@torch.inference_mode()
def accuracy(judge: Judge, clips: Tensor, labels: Tensor) -> dict[str, float]:
    """Per cent of right answers by head; a head without any answer is absent."""
    reading = judge.read(clips)
    found: dict[str, float] = {}
    for column, name in enumerate(HEADS):
        answers = labels[:, column].to(clips.device).long()
        known = answers != UNDEFINED
        if known.any():
            right = reading.log_probabilities[name].argmax(1)[known] == answers[known]
            found[name] = round(100.0 * float(right.float().mean()), 2)
    return found


def train(
    judge: Judge,
    supplies: Sequence[Supply],
    schedule: Schedule,
    clock: Clock,
    state_file: Path,
    log: Log,
    test: Batch,
    max_steps: int = 10**9,
) -> Judge:
    """Train until the clock says so; the averaged weights are the result.

    Args:
        state_file: where a call that is only a part of the schedule goes on.
        test: clips and labels for the log.
    """
    device = next(judge.parameters()).device
    optimizer = torch.optim.AdamW(judge.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    average = Average(judge, schedule.average)
    best = Judge(judge.widths).to(device)
    if state_file.exists() and clock.begin > 0:
        state = load(state_file, device)
        judge.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        average = Average(judge, schedule.average)
    for supply in supplies:
        while supply.pool.size < supply.first:
            supply.pool.add(*supply.source())
    step, logged, fraction, loss = 0, 0.0, clock.begin, torch.zeros(())
    while fraction < clock.end and step < max_steps:
        for supply in supplies:
            supply.pool.add(*supply.source())
        for _ in range(schedule.steps_per_fresh):
            parts = [supply.pool.take(max(1, round(schedule.batch * supply.share))) for supply in supplies]
            clips = torch.cat([augment(part) for part, _ in parts])
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr * learning_rate_factor(fraction)
            judge.train()
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits, _ = judge(clips)
            loss = loss_of(logits, torch.cat([answers for _, answers in parts]))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(judge.parameters(), 5.0)
            optimizer.step()
            average.update()
            step += 1
            fraction = clock.fraction
        if clock.seconds - logged > LOG_SECONDS[device.type]:
            logged = clock.seconds
            best.load_state_dict(average.state_dict(), strict=False)
            shown = accuracy(best.eval(), *test)
            log.write(step=step, seconds=clock.seconds, loss=float(loss.detach()), **shown)
    save(state_file, {"weights": judge.state_dict(), "optimizer": optimizer.state_dict()})
    best.load_state_dict(average.state_dict(), strict=False)
    return best.eval()


def _blurred(clips: Tensor, sigma: float) -> Tensor:
    if sigma == 0.0 or not len(clips):
        return clips
    reach = torch.arange(-3, 4, device=clips.device, dtype=clips.dtype)
    kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
    kernel = kernel / kernel.sum()
    flat = clips.flatten(0, 2).unsqueeze(1)
    flat = F.conv2d(F.pad(flat, (3, 3, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, 3, 3), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat.view_as(clips)


def _shifted(clips: Tensor, down: int, right: int) -> Tensor:
    height, width = clips.shape[-2:]
    padded = F.pad(clips.flatten(0, 1), (4, 4, 4, 4), mode="replicate")
    return padded[..., 4 + down : 4 + down + height, 4 + right : 4 + right + width].view_as(clips)
