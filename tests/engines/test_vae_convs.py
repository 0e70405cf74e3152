"""Upsampling in its other form against what it replaces."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from engines.vae_convs import UpsampleConv, merge_upsampling
from engines.vae_step import CacheShapes, VaeStep
from tests import tiny


@torch.inference_mode()
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_upsampling_and_a_convolution_in_one(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 5, 3, padding=1)
    x = torch.randn(2, 6, 3, 4).contiguous(memory_format=layout)
    expected = conv(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
    assert (UpsampleConv(conv)(x) - expected).abs().max() <= 1e-5


@torch.inference_mode()
def test_a_decoder_with_it_makes_the_same_frames() -> None:
    torch.manual_seed(1)
    vae = tiny.vae()
    changed = copy.deepcopy(vae)
    merge_upsampling(changed.decoder)
    assert sum(isinstance(module, UpsampleConv) for module in changed.decoder.modules()) >= 2
    shapes = CacheShapes(vae)(4, 6)
    assert CacheShapes(changed)(4, 6) == shapes
    expected_caches, caches = ([torch.zeros(shape) for shape in shapes] for _ in range(2))
    for i, latent in enumerate(torch.randn(3, 1, 8, 1, 4, 6)):
        expected: Tensor
        expected, *expected_caches = VaeStep(vae, first=i == 0)(latent, *expected_caches)
        made, *caches = VaeStep(changed, first=i == 0)(latent, *caches)
        assert (made - expected).abs().max() <= 1e-5
    for a, b in zip(caches, expected_caches, strict=True):
        assert torch.allclose(a, b, atol=1e-4)
