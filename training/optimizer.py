"""The optimiser: Muon for hidden matrices and filters, AdamW for all else.

Owns the update rules and which parameter gets which. Does not know schedules: a factor is given at every step.
`torch.optim.Muon` orthogonalises one matrix after another; here they are small and many, so equal shapes go together. A
filter is the matrix of its outputs by all its inputs and taps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised by five Newton-Schulz steps, scaled to AdamW's usual update size."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # noqa: ARG002 - the base class's signature
        """Update all matrices from their gradients."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[parameter.shape].append(parameter)
            for shape, parameters in shapes.items():
                self._step_shape(shape, parameters, group)

    def _step_shape(self, shape: torch.Size, parameters: list[nn.Parameter], group: dict[str, float]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        for parameter in parameters:
            self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
        buffers = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        ahead = torch.stack(torch._foreach_lerp(gradients, buffers, group["momentum"])).flatten(2)
        update = _orthogonalise(ahead).unflatten(2, shape[1:])
        scale = 0.2 * max(ahead.shape[1:]) ** 0.5
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(update.unbind(0)), alpha=-group["lr"] * scale)


def _orthogonalise(matrices: Tensor) -> Tensor:
    """[N, rows, columns] to the nearest (about) orthogonal matrices."""
    a, b, c = _QUINTIC
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Optimizer:
    """Muon and AdamW side by side, as one."""

    def __init__(self, modules: Iterable[nn.Module], *, lr: float, weight_decay: float = 0.01) -> None:
        matrices: list[nn.Parameter] = []
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for module in modules:
            for name, parameter in module.named_parameters():
                matrix = name.endswith("weight") and parameter.ndim in (2, 4, 5)
                hidden = "block" in name and matrix and "relative_attention_bias" not in name
                (matrices if hidden else decayed if matrix else plain).append(parameter)
        self.parameters = [*matrices, *decayed, *plain]
        adam_groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(adam_groups, lr=lr, betas=(0.9, 0.98), fused=torch.cuda.is_available())
        ]
        if matrices:
            self._parts.append(Muon(matrices, lr=lr, weight_decay=weight_decay))
        self._lr = lr

    def step(self, factor: float, *, clip_norm: float = 1.0) -> Tensor:
        """Clip, update at `factor` times the base rate, clear; returns the gradient norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, clip_norm)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self._lr * factor
            part.step()
        for parameter in self.parameters:
            parameter.grad = None
        return norm

    def state_dict(self) -> list[dict[str, object]]:
        """Of both parts."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, object]]) -> None:
        """From `state_dict`."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)
