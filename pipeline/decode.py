"""Streaming VAE: one latent in, its frames out, cut to the size that was asked for.

Owns the crop and the trim. The feature caches are the engine's state; one `Decoder` serves one clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engines.base import VaeDecoder, VaeEncoder, VaeState
from engines.errors import EngineError
from pipeline.blocks import Plan


class Decoder:
    """Decodes the latents of one clip in order."""

    def __init__(self, engine: VaeDecoder, plan: Plan, encoder: VaeEncoder | None = None) -> None:
        self._engine, self._encoder, self._plan = engine, encoder, plan
        self._state: VaeState | None = None  # gigabytes: not before the first latent is there
        self._last_frame: Tensor | None = None
        self.num_frames = 0

    def decode(self, latents: Tensor) -> NDArray[np.uint8]:
        """latents [1, C, 1, h, w] -> pixels uint8 [n, H, W, 3] RGB of the asked size; n is 0 behind the clip's end."""
        if self._state is None:
            self._state = self._engine.start(self._plan.height, self._plan.width)
        frames = self._engine.decode(latents, self._state)
        self._last_frame = frames[-1]
        pixels = frames.numpy()
        n = min(pixels.shape[0], self._plan.num_frames - self.num_frames)
        self.num_frames += n
        return np.ascontiguousarray(pixels[:n, : self._plan.frame_height, : self._plan.frame_width])

    def recode(self) -> Tensor:
        """The last frame, encoded alone: a first-frame latent [1, C, 1, h, w]. Decoding goes on behind it.

        The decoder's caches begin anew with that latent, because what is denoised behind it takes it for a clip's
        first; the frame that it decodes to is already in the clip.

        Raises:
            EngineError: the backend has no VAE encoder.
        """
        if self._encoder is None:
            raise EngineError("this backend has no VAE encoder, which chained blocks need for their last frame")
        assert self._last_frame is not None, "nothing was decoded yet"
        latent = self._encoder.encode(self._last_frame)
        self._state = self._engine.start(self._plan.height, self._plan.width)
        self._engine.decode(latent, self._state)
        return latent
