"""The reference backend: plain PyTorch, on the CPU or a CUDA GPU.

Owns device and precision; runs the same stateless steps that the other backends compile. Where the weights do not fit
together, text encoder and transformers take turns on the device (`engines.residency`). Does not know blocks or jobs.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Collection
from typing import cast

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from engines import fp8
from engines.base import Engines, VaeState
from engines.checkpoint import Checkpoint
from engines.errors import EngineError
from engines.residency import Residency, turns
from engines.transformer_step import (
    RunLayer,
    TextKeysValues,
    TimeEmbedding,
    TransformerStep,
    cross_attentions,
    rotary_tables,
)
from engines.tuning import NOT_COMPILED, Quantised, Tuning, tune_decoder, tune_transformer, tune_vae
from engines.vae_step import CacheShapes, FramesStep, VaeStep

LEFT_FLOAT16 = "the VAE of this checkpoint leaves float16's range; it computes in bfloat16 from now on: start again"
_TEXT_ENCODER = "text_encoder"
_TOKENS_STEP = 64  # prompts are encoded at a few lengths instead of at every one


class TorchTextEncoder:
    """`TextEncoder` on one device; its table of words, 2 GB of a true-size one's 11, stays in host memory."""

    def __init__(self, encoder: PreTrainedModel, residency: Residency, dtype: torch.dtype) -> None:
        self._residency = residency
        self._encoder = copy.deepcopy(encoder)
        nn.Module.to(self._encoder, dtype=dtype)
        self._words = cast(nn.Embedding, self._encoder.get_input_embeddings()).cpu()
        self._encoder.set_input_embeddings(nn.Identity())  # is given embeddings
        residency.add(_TEXT_ENCODER, self._encoder)

    def return_early(self) -> None:
        """Come back to the device before the next prompt is there, if no other module needs the room meanwhile."""
        if set(self._residency.taking_turns) == {_TEXT_ENCODER}:
            self._residency.claim(_TEXT_ENCODER)

    @torch.inference_mode()
    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self._residency.claim(_TEXT_ENCODER)
        tokens = input_ids.shape[1]
        used = min(tokens, (int(attention_mask.sum()) // _TOKENS_STEP + 1) * _TOKENS_STEP)  # behind it is padding
        mask = attention_mask[:, :used].to(self._residency.device)
        embeds = self._words(input_ids[:, :used].cpu()).to(self._residency.device)
        hidden = self._encoder(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
        self._residency.release(_TEXT_ENCODER)
        return F.pad(hidden.float() * mask.unsqueeze(-1), (0, 0, 0, tokens - used))


class TorchTransformer:
    """`Transformer` on one device; `dtype` is what the blocks compute in, the time embedding stays float32.

    Args:
        transformer: copied on the CPU; given away to a GPU, where a second copy is too much of a large one.
        name: under which its weights are claimed.
        run_layer: what its layers are run by; None: PyTorch.
    """

    def __init__(
        self,
        transformer: WanTransformer3DModel,
        residency: Residency,
        dtype: torch.dtype,
        name: str = "transformer",
        tuning: Tuning | None = None,
        run_layer: RunLayer | None = None,
    ) -> None:
        self._residency, self._dtype, self._name = residency, dtype, name
        self._source, owned = transformer, residency.device.type == "cuda"
        time, self._text = TimeEmbedding(transformer), TextKeysValues(transformer)
        self._time = (time if owned else copy.deepcopy(time)).float()
        self._step = TransformerStep(transformer, owned=owned).to(dtype)
        embedder = self._text.text_embedder  # of `time` a part: it is in float32 now, if it is the same
        self._text.text_embedder = (embedder if owned else copy.deepcopy(embedder)).to(dtype)
        self._text.attentions = cross_attentions(self._step.blocks)
        self._fp8_cache = tuning is not None and tuning.fp8_cache
        is_there = name not in residency.taking_turns or residency.has_room_for(self._step)
        if is_there:
            self._step.to(residency.device)
        where = None if is_there else residency.device
        self.fp8 = Quantised() if tuning is None else tune_transformer(self._step, tuning, where)
        if run_layer is not None:
            self._step.run_layers_by(run_layer)
        residency.add(name, self._time, self._text, self._step)
        transformer.rope.to(residency.device)  # tables are made where they are used

    @torch.inference_mode()
    def text_keys_values(self, prompt_embeds: Tensor) -> Tensor:
        self._residency.release(_TEXT_ENCODER)  # a prompt that was known did not need it
        with self._residency.claimed(self._name):
            return self._text(prompt_embeds.to(self._dtype))

    def rotary(self, first_latent: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        _, _, frames, height, width = latents.shape
        return rotary_tables(self._source, first_latent, frames, height, width)

    @torch.inference_mode()
    def velocity(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> Tensor:
        with self._residency.claimed(self._name):
            return self._step.velocity(*self._inputs(latents, timesteps, text, rotary, cache)).float()

    @torch.inference_mode()
    def keys_values(
        self,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: Tensor,
        keep: Callable[[Tensor], None],
    ) -> None:
        with self._residency.claimed(self._name):
            inputs = self._inputs(latents, timesteps, text, rotary, cache)
            self._step.velocity(*inputs, keep=lambda own: keep(fp8.to_cache(own) if self._fp8_cache else own))

    def _inputs(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> tuple[Tensor, ...]:
        given = (x.to(self._dtype) for x in (text, *rotary))
        return latents.to(self._dtype), self._time(timesteps), *given, cache


class TorchVaeDecoder:
    """`VaeDecoder` on one device, in float16 on a GPU: as fast as bfloat16 and eight times as exact.

    Where a checkpoint's activations leave float16's range, the clip ends with an error and bfloat16 serves all others.

    Args:
        dtype: None for the one that suits the device.
    """

    def __init__(
        self,
        vae: AutoencoderKLWan,
        device: torch.device,
        tuning: Tuning | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._device = device
        self._dtype = dtype or (torch.float32 if device.type == "cpu" else torch.float16)
        own, tuning = copy.deepcopy(vae), tuning or Tuning()
        tune_decoder(own.decoder, tuning)
        steps = (VaeStep(own, first=first, in_place=True, together=tuning.vae_frames) for first in (True, False))
        self._steps = [FramesStep(step).to(device, self._dtype) for step in steps]
        for step in self._steps:
            tune_vae(step.step, tuning)
        self._shapes = CacheShapes(vae)
        self._layout = torch.channels_last_3d if tuning.channels_last else torch.contiguous_format

    def start(self, height: int, width: int) -> VaeState:
        caches = [
            torch.empty(shape, device=self._device, dtype=self._dtype, memory_format=self._layout).zero_()
            for shape in self._shapes(height, width)
        ]
        return VaeState(caches=caches)

    @torch.inference_mode()
    def decode(self, latents: Tensor, state: VaeState) -> Tensor:
        step = self._steps[min(state.num_latents, 1)]
        pixels, *_ = step(latents.to(self._dtype), *state.caches)
        state.num_latents += 1
        is_finite = state.caches[-1].isfinite().all() if self._dtype == torch.float16 else None
        # Memory that the GPU writes to directly is asked for once and taken again when the caller has let go of it.
        made = torch.empty(pixels.shape, dtype=pixels.dtype, pin_memory=pixels.is_cuda).copy_(pixels)
        if is_finite is not None and not is_finite:
            self._leave_float16()
            raise EngineError(LEFT_FLOAT16)
        return made

    def _leave_float16(self) -> None:
        self._dtype = torch.bfloat16
        for step in self._steps:
            step.to(self._dtype)


class TorchVaeEncoder:
    """`VaeEncoder` on one device: diffusers' own encoder, because it runs once a block; loaded when asked."""

    def __init__(self, vae: AutoencoderKLWan, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype, self._source = device, dtype, vae
        shape = (1, -1, 1, 1, 1)
        self._mean = torch.tensor(vae.config["latents_mean"], device=device).view(shape)
        self._std = torch.tensor(vae.config["latents_std"], device=device).view(shape)

    @functools.cached_property
    def _vae(self) -> AutoencoderKLWan:
        vae = copy.deepcopy(self._source)
        del vae.decoder  # the other engine has it
        nn.Module.to(vae, self._device, self._dtype)  # diffusers' own `to` warns of every change of precision
        return vae

    @torch.inference_mode()
    def encode(self, frame: Tensor) -> Tensor:
        video = frame.to(self._device).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1.0
        posterior = self._vae.encode(video.to(self._dtype), return_dict=False)[0]
        return (posterior.mode().float() - self._mean) / self._std


def load(
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    taking_turns: Collection[str] | None = None,
    tuning: Tuning | None = None,
) -> Engines:
    """All engines in float32 on the CPU; in bfloat16 on a GPU, the VAE's decoder in float16.

    Args:
        taking_turns: which of text_encoder, transformer and transformer_2 are on the device only while they compute;
            None decides by free memory.
        tuning: None for what costs a GPU neither time at the start nor precision, and nothing on the CPU.
    """
    if tuning is None and device.type == "cuda":
        tuning = NOT_COMPILED
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    precision = "fp32" if device.type == "cpu" else "bf16"
    where = "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
    if taking_turns is None:
        in_fp8 = tuning is not None and tuning.fp8_error is not None
        taking_turns = _taking_turns(checkpoint, device, dtype, in_fp8=in_fp8) if device.type == "cuda" else ()
    residency = Residency(device, taking_turns=taking_turns)
    second = checkpoint.transformer_2
    text_encoder = TorchTextEncoder(checkpoint.text_encoder, residency, dtype)
    transformer = TorchTransformer(checkpoint.transformer, residency, dtype, tuning=tuning)
    sped_up = tuning.label(transformer.fp8) if tuning else ""
    parts = (f"PyTorch {torch.__version__.split('+')[0]}", precision, sped_up, where)
    return Engines(
        text_encoder=text_encoder,
        transformer=transformer,
        vae_decoder=TorchVaeDecoder(checkpoint.vae, device, tuning),
        device=device,
        label=" · ".join(part for part in parts if part),
        transformer_2=None if second is None else TorchTransformer(second, residency, dtype, "transformer_2", tuning),
        vae_encoder=TorchVaeEncoder(checkpoint.vae, device, dtype),
        rest=text_encoder.return_early,
    )


def _taking_turns(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, *, in_fp8: bool) -> tuple[str, ...]:
    sizes: dict[str, int] = {}
    for name in (_TEXT_ENCODER, "transformer", "transformer_2"):
        module: nn.Module | None = getattr(checkpoint, name)
        if module is not None:
            each = 1 if in_fp8 and name != _TEXT_ENCODER else dtype.itemsize
            sizes[name] = each * sum(parameter.numel() for parameter in module.parameters())
    return turns(sizes, torch.cuda.mem_get_info(device)[0])
