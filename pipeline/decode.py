"""Streaming VAE: one latent in, its frames out, cut to the size that was asked for.

Owns the crop and the trim. The feature caches are the engine's state; one `Decoder` serves one clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engines.base import VaeDecoder
from pipeline.blocks import Plan


class Decoder:
    """Decodes the latents of one clip in order."""

    def __init__(self, engine: VaeDecoder, plan: Plan) -> None:
        self._engine, self._plan = engine, plan
        self._state = engine.start(plan.height, plan.width)
        self.num_frames = 0

    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """latents [1, C, 1, h, w] -> pixels uint8 [n, H, W, 3] RGB of the asked size; n is 0 behind the clip's end."""
        pixels = self._engine.decode(latents, self._state).numpy()
        n = min(pixels.shape[0], self._plan.num_frames - self.num_frames)
        self.num_frames += n
        return np.ascontiguousarray(pixels[:n, : self._plan.frame_height, : self._plan.frame_width])
