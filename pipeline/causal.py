"""Block-causal context: a block attends to the cached keys and values of clean latents before it.

Owns the cache (sink and sliding window, absolute positions) and the clean re-cache pass at timestep 0. Context is
carried as latents and keys and values, never re-encoded from pixels. Does not know noise, guidance or prompts.

CausVid (arXiv 2412.07772), Self Forcing (arXiv 2506.08009); the sink: LongLive (arXiv 2509.22622).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.blocks import Block
from pipeline.denoise import Branch


class Causal:
    """`pipeline.denoise.Strategy` for checkpoints that were trained block-causally.

    Args:
        branches: every transformer with every prompt; each has a cache of its own.
        capacity: latents that the largest context of the clip has.
    """

    def __init__(self, branches: list[Branch], capacity: int) -> None:
        self._caches = {branch: _Cache(capacity) for branch in branches}
        self._block = Block(0, 0, ())

    def begin(self, block: Block) -> None:
        self._block = block

    def velocity(self, branch: Branch, latents: Tensor, timestep: float) -> Tensor:
        timesteps = torch.full((latents.shape[2],), timestep, device=latents.device)
        cache = self._caches[branch].read(branch, self._block.context)
        rotary = branch.rotary(self._block.start, latents)
        return branch.transformer.velocity(latents, timesteps, branch.text, rotary, cache)

    def remember(self, block: Block, latents: Tensor, upcoming: Block) -> None:
        timesteps = torch.zeros(block.num_latents, device=latents.device)
        for branch, cache in self._caches.items():
            seen = cache.read(branch, block.context)
            rotary = branch.rotary(block.start, latents)
            put = cache.writer(block, keep=upcoming.context, layers=len(branch.text))
            branch.transformer.keys_values(latents, timesteps, branch.text, rotary, seen, put)

    def forget(self, branch: Branch) -> None:
        del self._caches[branch]


class _Cache:
    """Keys and values by latent, in one tensor that is made once: a latent that nobody attends to again gives its slot
    to a new one. Attention does not ask for the order, because positions are in the keys.
    """

    def __init__(self, capacity: int) -> None:
        self._slots: list[int | None] = [None] * capacity
        self._store: Tensor | None = None

    def read(self, branch: Branch, context: tuple[int, ...]) -> Tensor:
        """[layers, 2, heads, M, head_dim] of the latents in `context`, which are exactly those that are kept."""
        if self._store is None:
            return branch.no_cache()
        used = len(self._slots) - self._slots.count(None)
        assert sorted(slot for slot in self._slots if slot is not None) == list(context)
        return self._store[:, :, :, : used * self._store.shape[3] // len(self._slots)]

    def writer(self, block: Block, keep: tuple[int, ...], layers: int) -> Callable[[Tensor], None]:
        """Keep the latents in `keep` of the stored ones and of the block's own.

        Returns:
            What takes the block's own keys and values [2, heads, N, head_dim] layer by layer: a copy of all layers
            would be a third of the cache. Old latents are written over in a layer that nobody reads any more.
        """
        self._slots = [slot if slot in keep else None for slot in self._slots]
        places: list[tuple[int, int]] = []
        for number, latent in enumerate(range(block.start, block.stop)):
            if latent in keep:
                slot = self._slots.index(None)  # contexts never shrink, so that what is kept always lies at the front
                self._slots[slot] = latent
                places.append((number, slot))
        numbers = iter(range(layers))

        def put(own: Tensor) -> None:
            pair, heads, tokens, head_dim = own.shape
            tokens //= block.num_latents
            if self._store is None:
                self._store = own.new_empty(layers, pair, heads, len(self._slots) * tokens, head_dim)
            layer = self._store[next(numbers)]
            for number, slot in places:
                into, what = (slice(i * tokens, (i + 1) * tokens) for i in (slot, number))
                layer[:, :, into] = own[:, :, what]

        return put
