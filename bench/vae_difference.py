"""How far the VAE decoder's frames are from plain eager ones, in levels of 255.

Owns the comparison. Does not know how the decoder was made faster, or clips.
"""

from __future__ import annotations

import copy

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from engines.base import VaeDecoder
from engines.vae_step import CacheShapes, FramesStep, VaeStep

_LATENTS = 3


@torch.inference_mode()
def vae_differences(
    decoder: VaeDecoder, vae: AutoencoderKLWan, size: tuple[int, int], device: torch.device
) -> dict[str, int]:
    """The largest difference of any pixel in three latents' frames.

    Args:
        vae: float32; the weights that the decoder was made of.
        size: height and width of the latents.

    Returns:
        of the decoder from eager float32 and from eager float16 (not on a CPU), and of eager bfloat16 from float32,
        which shows how much the precision alone makes.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    latents = [torch.randn(1, int(vae.config["z_dim"]), 1, *size, generator=generator) for _ in range(_LATENTS)]
    state = decoder.start(*size)
    ours = torch.cat([decoder.decode(latent.to(device), state).cpu() for latent in latents])
    del state
    exact = _eager(vae, latents, device, torch.float32)
    made = {"from_eager_float32": _largest(ours, exact)}
    if device.type == "cuda":
        made["from_eager_float16"] = _largest(ours, _eager(vae, latents, device, torch.float16))
    return made | {"eager_bfloat16_from_float32": _largest(_eager(vae, latents, device, torch.bfloat16), exact)}


def _eager(vae: AutoencoderKLWan, latents: list[Tensor], device: torch.device, dtype: torch.dtype) -> Tensor:
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        own = copy.deepcopy(vae)
        height, width = latents[0].shape[-2:]
        caches = [torch.zeros(shape, dtype=dtype, device=device) for shape in CacheShapes(own)(height, width)]
        steps = [FramesStep(VaeStep(own, first=first, in_place=True)).to(device, dtype) for first in (True, False)]
        return torch.cat(
            [steps[min(i, 1)](latent.to(device, dtype), *caches)[0].cpu() for i, latent in enumerate(latents)]
        )
    finally:
        torch.backends.cudnn.allow_tf32 = tf32


def _largest(a: Tensor, b: Tensor) -> int:
    return int((a.int() - b.int()).abs().max())
