"""Which modules lie on the device: all of them, or some only in turn where memory is short.

Owns moving weights. Masters of what takes turns stay in host memory (pinned for a GPU) and never change, so that
leaving the device costs no copy back. Does not know what a module computes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn


def turns(sizes: Mapping[str, int], free_bytes: int) -> tuple[str, ...]:
    """What has to take turns so that weights fill at most half of the free memory: nothing, the text encoder, or all.

    The other half is for latents, caches and activations.

    Args:
        sizes: bytes by name, "text_encoder" among them.
    """
    if 2 * sum(sizes.values()) <= free_bytes:
        return ()
    without_text = sum(sizes.values()) - sizes["text_encoder"]
    return ("text_encoder",) if 2 * without_text <= free_bytes else tuple(sizes)


class Residency:
    """The modules of one device.

    Args:
        device: where they compute.
        taking_turns: names of those that are let in only after the one of them before has left; the others stay.
    """

    def __init__(self, device: torch.device, *, taking_turns: Collection[str] = ()) -> None:
        self.device, self.taking_turns = device, frozenset(taking_turns)
        self._masters: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self.resident: tuple[str, ...] = ()

    def add(self, name: str, *modules: nn.Module) -> None:
        """Put modules under this residency, under one name: at once on the device, or waiting for `claim`."""
        if name not in self.taking_turns:
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
        """Make sure that this one is on the device; of those that take turns the other leaves first."""
        if name in self.resident:
            return
        with torch.inference_mode(False):  # weights are no inference tensors, wherever this is called from
            for other in self.resident:
                self.release(other)
            self.resident = (*self.resident, name)
            for tensor, master in self._masters[name]:
                tensor.data = torch.empty_like(master, device=self.device).copy_(master, non_blocking=True)

    def release(self, name: str) -> None:
        """Let this one leave the device now, where memory is short; it comes back at its next `claim`."""
        if name in self.taking_turns and name in self.resident:
            self.resident = tuple(other for other in self.resident if other != name)
            for tensor, master in self._masters[name]:
                tensor.data = master
