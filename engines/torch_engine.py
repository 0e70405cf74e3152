"""The reference backend: plain PyTorch, on the CPU or a CUDA GPU.

Owns device and precision; runs the same stateless steps that the other backends compile. Does not know blocks or jobs.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from engines.base import Engines, VaeState
from engines.checkpoint import Checkpoint
from engines.transformer_step import TextKeysValues, TimeEmbedding, TransformerStep, rotary_tables
from engines.vae_step import FramesStep, VaeStep, cache_shapes


class TorchTextEncoder:
    """`TextEncoder` on one device."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._encoder: nn.Module = copy.deepcopy(checkpoint.text_encoder)
        self._encoder.to(device=device, dtype=dtype)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.to(self._device)
        hidden = self._encoder(input_ids.to(self._device), mask).last_hidden_state
        return hidden.float() * mask.unsqueeze(-1)


class TorchTransformer:
    """`Transformer` on one device; `dtype` is what the blocks compute in, the time embedding stays float32."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._source = checkpoint.transformer
        self._time = copy.deepcopy(TimeEmbedding(checkpoint.transformer)).to(device).float()
        self._text = copy.deepcopy(TextKeysValues(checkpoint.transformer)).to(device, dtype)
        self._step = TransformerStep(checkpoint.transformer).to(device, dtype)

    @torch.inference_mode()
    def text_keys_values(self, prompt_embeds: Tensor) -> Tensor:
        return self._text(prompt_embeds.to(self._dtype)).float()

    def rotary(self, first_latent: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        _, _, frames, height, width = latents.shape
        cos, sin = rotary_tables(self._source, first_latent, frames, height, width)
        return cos.to(self._device), sin.to(self._device)

    def velocity(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> Tensor:
        return self._run(latents, timesteps, text, rotary, cache)[0]

    def keys_values(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> Tensor:
        return self._run(latents, timesteps, text, rotary, cache)[1]

    @torch.inference_mode()
    def _run(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        time = self._time(timesteps)
        inputs = (x.to(self._dtype) for x in (latents, time, text, *rotary, cache))
        velocity, keys_values = self._step(*inputs)
        return velocity.float(), keys_values.float()


class TorchVaeDecoder:
    """`VaeDecoder` on one device."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._vae = copy.deepcopy(checkpoint.vae)
        self._steps = [FramesStep(VaeStep(self._vae, first=first)).to(device, dtype) for first in (True, False)]

    def start(self, height: int, width: int) -> VaeState:
        shapes = cache_shapes(self._vae, height, width)
        caches = [torch.zeros(shape, device=self._device, dtype=self._dtype) for shape in shapes]
        return VaeState(caches=caches, spare=[])

    @torch.inference_mode()
    def decode(self, latents: Tensor, state: VaeState) -> Tensor:
        step = self._steps[min(state.num_latents, 1)]
        pixels, *caches = step(latents.to(self._dtype), *state.caches)
        state.caches = caches
        state.num_latents += 1
        return pixels.cpu()


def load(checkpoint: Checkpoint, *, device: torch.device) -> Engines:
    """All three engines in float32 on the CPU, in bfloat16 on a GPU."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    precision = "fp32" if device.type == "cpu" else "bf16"
    where = "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
    return Engines(
        text_encoder=TorchTextEncoder(checkpoint, device, dtype),
        transformer=TorchTransformer(checkpoint, device, dtype),
        vae_decoder=TorchVaeDecoder(checkpoint, device, dtype),
        device=device,
        label=f"PyTorch {torch.__version__.split('+')[0]} · {precision} · {where}",
    )
