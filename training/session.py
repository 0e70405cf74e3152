"""What every training stage shares: processes, the wall clock, averaged weights, checkpoints.

Owns how a stage is spread over GPUs (or runs on one, or on a CPU), when it must end, and how it resumes. Does not know
networks or losses. A stage is started alone or by `training/launch.sh`.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Session:
    """One process of a stage."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def start(cls, seed: int) -> Session:
        """Join the process group if `torchrun` made one, choose the device, seed every generator by rank."""
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_RANK", "0")) if torch.cuda.device_count() > 1 else 0
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True
            torch._dynamo.config.recompile_limit = 64  # a kernel for each size and kind of loss
        if world > 1:
            dist.init_process_group("nccl" if cuda else "gloo")
        torch.manual_seed(seed * 1000 + rank)
        random.seed(seed * 1000 + rank)
        return cls(rank, world, device)

    @property
    def is_main(self) -> bool:
        """Whether this process prints and saves."""
        return self.rank == 0

    def broadcast(self, module: nn.Module) -> None:
        """Give every process the main one's weights."""
        if self.world > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over all processes; a missing gradient counts as zero."""
        held = list(parameters)
        for parameter in held:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in held if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        parts = flat.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a detached tensor over all processes."""
        value = value.detach().clone()
        if self.world > 1:
            dist.all_reduce(value)
        return value / self.world

    def agree(self, value: float) -> float:
        """The main process's number, so that all make the same decision at the same step."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], device=self.device, dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def finish(self) -> None:
        """Leave the process group."""
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()


class Clock:
    """Wall-clock budget of a call, and which part of a stage's schedule it runs: a stage may take several calls.

    Args:
        minutes: of this call.
        part: begin and end of the call on the stage's schedule, 0 to 1.
    """

    def __init__(self, minutes: float, part: tuple[float, float] = (0.0, 1.0)) -> None:
        self._start = time.monotonic()
        self._limit_s = minutes * 60
        self.begin, self.end = part

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    @property
    def fraction(self) -> float:
        """Where the stage is on its schedule, `begin` to `end`."""
        return self.begin + (self.end - self.begin) * min(1.0, self.seconds / self._limit_s)


def synchronise(session: Session) -> None:
    """Wait for the GPU, so that the clock tells the truth."""
    if session.device.type == "cuda":
        torch.cuda.synchronize()


def learning_rate_factor(fraction: float, *, warmup: float = 0.02, floor: float = 0.0) -> float:
    """Linear warm-up, constant to the middle, then linear to `floor` at the end; `fraction` is 0 to 1."""
    if fraction < warmup:
        return max(fraction, 1e-4) / warmup
    return 1.0 if fraction < 0.4 else floor + (1.0 - floor) * (1.0 - fraction) / 0.6


class Average:
    """Exponential moving average of a module's floating-point state, with the usual start-up correction."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self._steps = decay, 0
        self._source = [t for t in module.state_dict().values() if t.is_floating_point()]
        self._names = [name for name, t in module.state_dict().items() if t.is_floating_point()]
        self._held = [t.detach().float().clone() for t in self._source]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the module's present weights."""
        self._steps += 1
        weight = 1 - min(self._decay, self._steps / (self._steps + 10))
        torch._foreach_lerp_(self._held, [t.detach().float() for t in self._source], weight)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights under the module's names."""
        return dict(zip(self._names, self._held, strict=True))


class Means:
    """Losses by name since the last look, kept on the device so that no step waits for them."""

    def __init__(self) -> None:
        self._held: dict[str, list[Tensor]] = {}

    def add(self, name: str, loss: Tensor) -> None:
        """One loss more under a name."""
        self._held.setdefault(name, []).append(loss.detach())

    def take(self) -> dict[str, float]:
        """The mean of each name, and forget them."""
        means = {name: float(torch.stack(values).mean()) for name, values in self._held.items()}
        self._held = {}
        return means


class Log:
    """Append-only JSON lines of the main process, also printed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, **fields: Any) -> None:
        """One line; floats are shortened."""
        short = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in fields.items()}
        line = json.dumps(short)
        print(line, flush=True)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(line + "\n")


def save(path: Path, states: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(dict(states), partial)
    partial.replace(path)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint."""
    return torch.load(path, map_location=device, weights_only=True)
