"""The three calls of a backend. Tensors in, tensors out: no prompt, style, scheduler, block or job is known below here.

Every tensor that an engine returns belongs to the caller and is never written to again. All engines of one `Engines`
live on one device; tensors given to them must be there. Latents are normalised; floats are float32 at this boundary,
whatever the precision inside. Only text keys and values and caches are in whatever floating type the engine makes
them in: a caller cuts and joins them along M and gives them back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from engines.gpu import Reason


class TextEncoder(Protocol):
    """Token ids to prompt embeddings (UMT5 in WAN)."""

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """input_ids, attention_mask int64 [1, S] -> last hidden state float32 [1, S, text_dim], masked rows zeroed."""
        ...


class Transformer(Protocol):
    """Latents of one block to velocity, against cached keys and values of earlier latents.

    A *cache* is [layers, 2, heads, M, head_dim]: rotated keys, then values, of M earlier tokens; M may be 0.
    """

    def text_keys_values(self, prompt_embeds: Tensor) -> Tensor:
        """prompt_embeds [1, S, text_dim] -> cross-attention keys and values [layers, 2, heads, S, head_dim]."""
        ...

    def rotary(self, first_latent: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin for the tokens of `latents`, the first of which has this absolute index in its clip."""
        ...

    def velocity(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> Tensor:
        """latents [1, C, F, h, w], timesteps float32 [F] in [0, 1000] -> velocity [1, C, F, h, w]."""
        ...

    def keys_values(
        self,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: Tensor,
        keep: Callable[[Tensor], None],
    ) -> None:
        """Give the block's own keys and values to `keep`, layer by layer, each [2, heads, N, head_dim].

        When a layer has been given away nothing reads that layer of `cache` any more: `keep` may write to it.
        """
        ...


@dataclass(slots=True)
class VaeState:
    """Feature caches between two latents of one clip; made by `VaeDecoder.start`, written by `decode`.

    Attributes:
        spare: what the next caches are written to, where a backend alternates between two sets.
    """

    caches: list[Tensor]
    spare: list[Tensor] = field(default_factory=list[Tensor])
    num_latents: int = 0


class VaeDecoder(Protocol):
    """One latent to its frames, causally."""

    def start(self, height: int, width: int) -> VaeState:
        """The state before the first latent of `height` x `width`."""
        ...

    def decode(self, latents: Tensor, state: VaeState) -> Tensor:
        """latents [1, C, 1, h, w] -> pixels uint8 [T, H, W, 3] RGB on the CPU: T is 1 for the first latent, then 4."""
        ...


class VaeEncoder(Protocol):
    """One frame to the latent of a clip that begins with it."""

    def encode(self, frame: Tensor) -> Tensor:
        """frame uint8 [H, W, 3] RGB on the CPU, H and W multiples of the grid -> latent [1, C, 1, h, w], normalised."""
        ...


@dataclass(frozen=True, slots=True)
class Engines:
    """What the walk calls.

    Attributes:
        label: names the backend for people, e.g. "OpenVINO 2026.4 · bf16".
        transformer_2: the low-noise expert, where a checkpoint has two.
        vae_encoder: None where the backend has none; only chained blocks ask for it.
        no_tensorrt: why these are not TensorRT's; None where they are, or where another backend was asked for by name
            and nothing speaks against TensorRT.
        passed_over: why a faster backend, which should run here, does not: its build failed or was stopped.
        rest: called between clips; prepares for the next one what only has to give way while a clip is made.
    """

    text_encoder: TextEncoder
    transformer: Transformer
    vae_decoder: VaeDecoder
    device: torch.device
    label: str
    transformer_2: Transformer | None = None
    vae_encoder: VaeEncoder | None = None
    no_tensorrt: Reason | None = None
    passed_over: Reason | None = None
    rest: Callable[[], None] = lambda: None
