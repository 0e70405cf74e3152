"""Which modules lie on the device: all of them, or one at a time where memory is short.

Owns moving weights. Masters stay in host memory (pinned for a GPU) and never change, so that leaving the device costs
no copy back. Does not know what a module computes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residency:
    """The modules of one device.

    Args:
        device: where they compute.
        one_at_a_time: True lets a module in only after the one before it has left.
    """

    def __init__(self, device: torch.device, *, one_at_a_time: bool) -> None:
        self.device, self.one_at_a_time = device, one_at_a_time
        self._masters: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self.resident: tuple[str, ...] = ()

    def add(self, name: str, *modules: nn.Module) -> None:
        """Put modules under this residency, under one name: at once on the device, or waiting for `claim`."""
        if not self.one_at_a_time:
            for module in modules:
                module.to(self.device)
            self.resident = (*self.resident, name)
            return
        pin = self.device.type == "cuda"
        tensors = [t for module in modules for t in (*module.parameters(), *module.buffers())]
        unique = list({id(t): t for t in tensors}.values())
        self._masters[name] = [(t, t.data.cpu().pin_memory() if pin else t.data) for t in unique]
        for tensor, master in self._masters[name]:
            tensor.data = master

    def claim(self, name: str) -> None:
        """Make sure that this one is on the device; where there is room for one, the other leaves first."""
        if name in self.resident:
            return
        with torch.inference_mode(False):  # weights are no inference tensors, wherever this is called from
            for other in self.resident:
                self.release(other)
            self.resident = (name,)
            for tensor, master in self._masters[name]:
                tensor.data = torch.empty_like(master, device=self.device).copy_(master, non_blocking=True)

    def release(self, name: str) -> None:
        """Let this one leave the device now, where memory is short; it comes back at its next `claim`."""
        if self.one_at_a_time and name in self.resident:
            self.resident = ()
            for tensor, master in self._masters[name]:
                tensor.data = master
