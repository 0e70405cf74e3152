"""WAN's causal VAE decoder as a stateless step: one latent and the caches in, its frames and new caches out.

Owns the restructuring of diffusers' `AutoencoderKLWan` decoder (arXiv 2503.20314, section 4.2) into two graphs, *first*
(1 latent -> 1 frame) and *next* (1 latent -> 4 frames with 4x temporal compression). Uses the checkpoint's own modules
for every weight; only the control flow is ours, because a Python list of caches can be neither traced nor exported.
Does not know a device, a clip or how many latents there are.

Zero caches of two frames equal diffusers' `None` and `"Rep"` entries, so every cache has one shape from the start.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    AutoencoderKLWan,
    WanCausalConv3d,
    WanDecoder3d,
    WanMidBlock,
    WanResample,
    WanResidualBlock,
    WanResidualUpBlock,
    WanUpBlock,
    unpatchify,
)
from torch import Tensor, nn

from engines.transformer_step import CompileOptions
from engines.vae_convs import UpsampleConv

_UpBlock = WanResidualUpBlock | WanUpBlock
_CACHED_FRAMES = 2  # a causal 3-tap convolution looks two frames back


class VaeStep(nn.Module):
    """One latent -> frames, with the caches as explicit inputs and outputs.

    Args:
        vae: the checkpoint's VAE; its weights are shared, not copied.
        first: whether this is the graph of a clip's first latent.
        in_place: the caches that are given are written over, each when it has been read, and are the new ones: at a
            large size they are gigabytes. Not for export.
        together: frames that are decoded at a time where they are largest, behind the last upsampling in time; None
            decodes all of a latent's, which takes the most memory.
    """

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(
        self, vae: AutoencoderKLWan, *, first: bool, in_place: bool = False, together: int | None = None
    ) -> None:
        super().__init__()
        self.first, self.in_place, self.together = first, in_place, together
        self.decoder: WanDecoder3d = vae.decoder
        self.post_quant_conv: WanCausalConv3d = vae.post_quant_conv
        self.patch_size = cast("int | None", vae.config["patch_size"]) or 1
        shape = (1, -1, 1, 1, 1)
        self.register_buffer("latents_mean", torch.tensor(vae.config["latents_mean"]).view(shape), persistent=False)
        self.register_buffer("latents_std", torch.tensor(vae.config["latents_std"]).view(shape), persistent=False)
        self._num_front_caches = _num_caches(self.decoder.conv_in, self.decoder.mid_block, *_blocks(self.decoder)[0])
        self._run_front, self._run_residual = self._front, self._residual
        self._run_upsampling, self._run_out = self._upsampling, self._out

    def forward(self, latents: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """Decode one latent.

        Args:
            latents: [1, C, 1, h, w], float, normalised (mean 0, std 1 by channel).
            caches: as `CacheShapes` says, in that order; zeros before the first latent.

        Returns:
            frames [1, 3, T, H, W] in [-1, 1] (clamped; T is 1 for *first*), then the new caches in the same order.
        """
        patches, *new_caches = self.patches(latents, *caches)
        return unpatchify(patches, patch_size=self.patch_size).clamp(-1.0, 1.0), *new_caches

    def patches(self, latents: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """As `forward`, before patches are laid out as pixels: [1, 3 * p * p, T, H / p, W / p], not clamped."""
        x, *front = self._run_front(latents, *caches[: self._num_front_caches])
        back = list(caches[self._num_front_caches :])
        made: list[Tensor] = []
        for frames in x.split(self.together or x.shape[2], dim=2):
            patches, *back = self._back(frames, *back)
            made.append(patches)
        return torch.cat(made, dim=2), *front, *back

    def compile_parts(self, options: CompileOptions) -> None:
        """Compile what is in front of the last upsampling in time as one graph, and each piece behind it as its own.

        Inside of one graph the inputs of all its convolutions with the frames before them are there at once, because
        the compiler copies every cache as early as it can; where frames are largest that is gigabytes.
        """

        def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
            return torch.compile(function, fullgraph=True, dynamic=False, options=options)

        self._run_front, self._run_residual = compiled(self._front), compiled(self._residual)
        self._run_upsampling, self._run_out = compiled(self._upsampling), compiled(self._out)

    def _front(self, latents: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        walk = self._walk(caches)
        x = latents * self.latents_std + self.latents_mean
        x = F.conv3d(x, self.post_quant_conv.weight, self.post_quant_conv.bias)
        return walk.front(self.decoder, x), *walk.caches

    def _back(self, x: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        given, made = iter(caches), list[Tensor]()
        for block in _blocks(self.decoder)[1]:
            h = x if _has_shortcut(block) else None
            for resnet in block.resnets:
                x, *new = self._run_residual(resnet, x, *itertools.islice(given, _num_caches(resnet)))
                made += new
            x = self._run_upsampling(block, x, h)
        x, *new = self._run_out(x, *given)
        return x, *made, *new

    def _residual(self, block: nn.Module, x: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        walk = self._walk(caches)
        return walk.residual(cast(WanResidualBlock, block), x), *walk.caches

    def _upsampling(self, block: _UpBlock, x: Tensor, h: Tensor | None) -> Tensor:
        return self._walk(()).upsampling(block, x, h)

    def _out(self, x: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        walk = self._walk(caches)
        return walk.out(self.decoder, x), *walk.caches

    def _walk(self, caches: Sequence[Tensor]) -> _Walk:
        return _Walk(caches, first=self.first, in_place=self.in_place)


class FramesStep(nn.Module):
    """A `VaeStep` whose frames come out as pixels: uint8 [T, H, W, 3].

    Args:
        bytes_last: convert to bytes as the very last operation, for runtimes that have no other with bytes.
    """

    def __init__(self, step: VaeStep, *, bytes_last: bool = False) -> None:
        super().__init__()
        self.step, self.bytes_last = step, bytes_last

    def forward(self, latents: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """Arguments as `VaeStep.forward`."""
        patches, *new_caches = self.step.patches(latents, *caches)
        pixels = (patches[0].float() * 127.5 + 127.5).round().clamp(0.0, 255.0)
        if not self.bytes_last:  # so that the one transpose moves a quarter of the memory
            pixels = pixels.to(torch.uint8)
        _, frames, height, width = pixels.shape
        p = self.step.patch_size
        pixels = pixels.view(3, p, p, frames, height, width)  # colour, column and row in the patch, as diffusers has it
        pixels = pixels.permute(3, 4, 2, 5, 1, 0).reshape(frames, height * p, width * p, 3)
        return pixels.to(torch.uint8), *new_caches


class CacheShapes:
    """Shapes of a decoder's caches for any size of latents: found once, because finding them walks the decoder.

    Args:
        vae: its configuration and modules are read, on no device.
    """

    def __init__(self, vae: AutoencoderKLWan) -> None:
        step = VaeStep(vae, first=False)
        latents = torch.empty(1, int(vae.config["z_dim"]), 1, 1, 1, device="meta")
        walk, decoder = _Walk(None, first=False, in_place=False), copy.deepcopy(step.decoder).to("meta")
        x = walk.front(decoder, latents)
        for block in _blocks(decoder)[1]:
            x = walk.up(block, x)
        walk.out(decoder, x)
        self._of_one_cell = [tuple(c.shape) for c in walk.caches]

    def __call__(self, height: int, width: int) -> list[tuple[int, int, int, int, int]]:
        """Shapes [1, C, 2, h, w] for latents of `height` x `width`, in the order of use."""
        return [(b, c, t, rows * height, columns * width) for b, c, t, rows, columns in self._of_one_cell]


class _Walk:
    """One pass through the decoder's modules. `caches` are read in order, and each is replaced when it has been read.

    Args:
        caches: None makes zeros of the shapes that are asked for.
    """

    def __init__(self, caches: Sequence[Tensor] | None, *, first: bool, in_place: bool) -> None:
        self._makes_caches = caches is None
        self.caches = list(caches or ())
        self._first, self._in_place = first, in_place
        self._next = 0

    def _with_cache(self, x: Tensor) -> Tensor:
        """`x` with the two frames before it in front; the last two frames of that become the new cache.

        Before the first latent there were none: zeros, which need not be convolved, so that `x` stays alone.
        """
        if self._makes_caches:
            self.caches.append(x.new_zeros(x.shape[0], x.shape[1], _CACHED_FRAMES, x.shape[3], x.shape[4]))
        cache = self.caches[self._next]
        joined = torch.cat([cache, x], dim=2)
        last = joined[:, :, -_CACHED_FRAMES:]  # a copy is kept: a view would keep all frames of `x`
        self.caches[self._next] = cache.copy_(last) if self._in_place else last.clone()
        self._next += 1
        return x if self._first else joined

    def _conv(self, conv: WanCausalConv3d, x: Tensor) -> Tensor:
        x = self._with_cache(x)
        _, rows, columns = conv.kernel_size
        weight = conv.weight[:, :, -1:] if self._first else conv.weight
        return F.conv3d(x, weight, conv.bias, padding=(0, rows // 2, columns // 2))

    def front(self, decoder: WanDecoder3d, x: Tensor) -> Tensor:
        """To the last upsampling in time, and with it."""
        x = self._mid(decoder.mid_block, self._conv(decoder.conv_in, x))
        for block in _blocks(decoder)[0]:
            x = self.up(block, x)
        return x

    def up(self, block: _UpBlock, x: Tensor) -> Tensor:
        """Through one block, of any number of frames."""
        h = x
        for resnet in block.resnets:
            x = self.residual(cast(WanResidualBlock, resnet), x)
        return self.upsampling(block, x, h)

    def out(self, decoder: WanDecoder3d, x: Tensor) -> Tensor:
        """From the last block to patches."""
        return self._conv(decoder.conv_out, decoder.nonlinearity(decoder.norm_out(x)))

    def _mid(self, mid: WanMidBlock, x: Tensor) -> Tensor:
        x = self.residual(cast(WanResidualBlock, mid.resnets[0]), x)
        for attention, resnet in zip(mid.attentions, list(mid.resnets)[1:], strict=True):
            x = self.residual(cast(WanResidualBlock, resnet), attention(x))
        return x

    def residual(self, block: WanResidualBlock, x: Tensor) -> Tensor:
        """Through one residual block."""
        shortcut = block.conv_shortcut
        is_conv = isinstance(shortcut, WanCausalConv3d)
        h = F.conv3d(x, shortcut.weight, shortcut.bias) if is_conv else x
        x = self._conv(block.conv1, block.nonlinearity(block.norm1(x)))
        x = self._conv(block.conv2, block.nonlinearity(block.norm2(x)))
        return x + h

    def upsampling(self, block: _UpBlock, x: Tensor, h: Tensor | None) -> Tensor:
        """The end of a block that began with `h`, which those without a shortcut do not look at."""
        if isinstance(block, WanUpBlock):
            return x if block.upsamplers is None else self._upsample(cast(WanResample, block.upsamplers[0]), x)
        if block.upsampler is not None:
            x = self._upsample(block.upsampler, x)
        if block.avg_shortcut is not None:
            x = x + block.avg_shortcut(h, first_chunk=self._first)
        return x

    def _upsample(self, up: WanResample, x: Tensor) -> Tensor:
        if up.mode == "upsample3d":
            if self._first:  # the first latent is one frame: nothing to upsample in time, nothing to remember yet
                self._next += 1
            else:
                b, c, t, h, w = x.shape
                x = F.conv3d(self._with_cache(x), up.time_conv.weight, up.time_conv.bias)
                x = x.view(b, 2, c, t, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c, 2 * t, h, w)
        b, c, t, h, w = x.shape
        x = x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w)
        if isinstance(up.resample, UpsampleConv):
            x = up.resample(x)
        else:
            conv = cast(nn.Conv2d, cast(nn.Sequential, up.resample)[1])
            x = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), conv.weight, conv.bias, padding=1)
        return x.view(b, t, x.shape[1], 2 * h, 2 * w).permute(0, 2, 1, 3, 4)


def _blocks(decoder: WanDecoder3d) -> tuple[list[_UpBlock], list[_UpBlock]]:
    """Those up to the last that upsamples in time, and those behind it."""
    blocks = [cast(_UpBlock, block) for block in decoder.up_blocks]
    in_time = [i for i, block in enumerate(blocks) if _upsampling(block) == "upsample3d"]
    tail = in_time[-1] + 1 if in_time else 0
    return blocks[:tail], blocks[tail:]


def _has_shortcut(block: _UpBlock) -> bool:
    return isinstance(block, WanResidualUpBlock) and block.avg_shortcut is not None


def _num_caches(*modules: nn.Module) -> int:
    """Convolutions that look back."""
    convs = (m for module in modules for m in module.modules() if isinstance(m, WanCausalConv3d))
    return sum(conv.kernel_size[0] > 1 for conv in convs)


def _upsampling(block: _UpBlock) -> str | None:
    """How a block upsamples: "upsample2d", "upsample3d" for time too, or not at all."""
    if isinstance(block, WanResidualUpBlock):
        return block.upsampler.mode if block.upsampler is not None else None
    return cast(WanResample, block.upsamplers[0]).mode if block.upsamplers is not None else None
