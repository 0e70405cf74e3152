"""Which modules lie on the device: all of them, or some only in turn where memory is short, or linears one by one.

Owns moving weights. Masters of what takes turns stay in host memory (pinned for a GPU) and never change, so that
leaving the device costs no copy back. Does not know what a module computes.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


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
        if pin:
            torch.cuda.empty_cache()  # what was there before it had to wait

    def has_room_for(self, module: nn.Module) -> bool:
        """Whether a module that will wait could be on the device for a moment, and run on little."""
        if self.device.type != "cuda":
            return False
        size = sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))
        return size + size // 4 <= torch.cuda.mem_get_info(self.device)[0]

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

    @contextmanager
    def claimed(self, name: str) -> Generator[None]:
        """Have this one on the device for as long as it is used."""
        self.claim(name)
        yield

    def release(self, name: str) -> None:
        """Let this one leave the device now, where memory is short; it comes back at its next `claim`."""
        if name in self.taking_turns and name in self.resident:
            self.resident = tuple(other for other in self.resident if other != name)
            for tensor, master in self._masters[name]:
                tensor.data = master


class Visits:
    """Linears that lie in host memory and are on the device one at a time, each for as long as it computes.

    Slow, and the only way to run a network that does not fit, which must be run before it can be made smaller.

    Args:
        module: all of it but its linears goes to the device now.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._device = device
        self._handles: list[RemovableHandle] = []
        for child in module.modules():
            if isinstance(child, nn.Linear):
                self.add(child)
                continue
            for tensor in (*child.parameters(recurse=False), *child.buffers(recurse=False)):
                tensor.data = tensor.data.to(device)

    def add(self, linear: nn.Module) -> nn.Module:
        """One linear more, which is answered."""
        masters: list[tuple[Tensor, Tensor]] = []

        def come(*_: Any) -> None:
            with torch.inference_mode(False):
                for tensor in (*linear.parameters(), *linear.buffers()):
                    masters.append((tensor, tensor.data))
                    tensor.data = tensor.data.to(self._device, copy=True)  # a visitor, on whatever device

        def leave(*_: Any) -> None:
            with torch.inference_mode(False):
                for tensor, master in masters:
                    tensor.data = master
            masters.clear()

        self._handles += [linear.register_forward_pre_hook(come), linear.register_forward_hook(leave)]
        return linear

    def end(self) -> None:
        """From now on all linears stay where they are."""
        for handle in self._handles:
            handle.remove()
