"""A large transformer on TensorRT, layer by layer: two plans that all layers share, and PyTorch's attention between.

Owns what the plans are given: the weights of the layer whose turn it is. No plan has a copy of them, so that a plan for
one more size costs a megabyte and a second. Does not know how weights come to the device.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from diffusers.models.transformers.transformer_wan import WanTransformerBlock
from torch import Tensor

from engines.layer_parts import WEIGHTS, LayerPart
from engines.residency import Residency
from engines.tensorrt_plan import Plans, Session
from engines.transformer_step import attend, joined

NAME = "transformer"
"""Under which the weights take turns."""


class LayerRunner:
    """`RunLayer` by plans.

    Args:
        plans: those of one part of a layer.

    Attributes:
        dtype: that the plans compute in.
    """

    def __init__(self, plans: Callable[[LayerPart], Plans]) -> None:
        self._before, self._after = plans("layer_before"), plans("layer_after")
        self.dtype = self._before.dtypes["x"]
        self._weights: dict[tuple[LayerPart, int], dict[str, Tensor]] = {}

    def __call__(
        self,
        block: WanTransformerBlock,
        x: Tensor,
        modulation: Tensor,
        text: Tensor,
        cos: Tensor,
        sin: Tensor,
        cache: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        table = (*x.shape[:2], cos.shape[-1])
        given = {"x": x, "modulation": modulation, "cos": cos.view(table), "sin": sin.view(table)}
        made = self._before(given | self._of("layer_before", block))
        own = made["keys_values"]
        # Joining copies, even to nothing; `joined` cannot ask for the length, which is open where it is exported.
        seen = own if cache is None or cache.shape[2] == 0 else joined(cache, own)
        rows = attend(made["query"], seen).view(x.shape)
        given = {"x": x, "rows": rows, "modulation": modulation, "text": text}
        return self._after(given | self._of("layer_after", block))["y"], own

    def _of(self, part: LayerPart, block: WanTransformerBlock) -> dict[str, Tensor]:
        key = (part, id(block))
        if key not in self._weights:
            self._weights[key] = {name: block.get_parameter(name) for name in WEIGHTS[part]}
        return self._weights[key]


class TurnsWithPlans(Residency):
    """The transformer's weights as a guest of a session: they take turns with its plans.

    While they are used no other thread's plans run in between.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session.device, taking_turns=session.turns.names & {NAME})
        self._session = session

    def claim(self, name: str) -> None:
        self._session.turns.admit(name, self)
        super().claim(name)

    @contextmanager
    def claimed(self, name: str) -> Generator[None]:
        with self._session.lock, super().claimed(name):
            yield

    def leave(self) -> None:
        """See `engines.tensorrt_plan.Guest`."""
        torch.cuda.synchronize(self.device)
        for name in self.resident:
            self.release(name)
        torch.cuda.empty_cache()  # TensorRT's memory is beside torch's
