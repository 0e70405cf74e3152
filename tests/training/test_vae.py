"""What moves, and how much more it counts."""

from __future__ import annotations

import random

import pytest
import torch
from diffusers import AutoencoderKLWan

from training import config
from training.scene import STYLES
from training.vae import STYLED_WEIGHTS, draw_scenes, losses, moving, new_vae, total
from training.widen import widen_vae


@pytest.fixture
def vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    return new_vae(config.VAE | {"base_dim": 8, "decoder_base_dim": 8, "z_dim": 8})


def test_what_moves_is_near_a_change() -> None:
    frames = torch.zeros(1, 3, 6, 32, 32)
    frames[:, :, 3:, 16, 16] = 1.0
    found = moving(frames)
    assert found.shape == (1, 1, 6, 32, 32)
    assert found[0, 0, :, 16, 16].tolist() == [0, 0, 1, 1, 1, 0]  # a frame before and one behind, too
    assert found[0, 0, 3, 16].nonzero().flatten().tolist() == list(range(12, 21))
    frames[:, :, 3:, 16, 16] = 0.125
    assert moving(frames).max() == 0.5
    assert moving(torch.ones(1, 3, 2, 32, 32)).max() == 0


def test_the_same_error_counts_more_where_something_moves(vae: AutoencoderKLWan) -> None:
    """Of a clip with a small square that moves in front of grey: its share of the loss grows."""
    frames = torch.zeros(1, 3, 5, 64, 64)
    for frame in range(5):
        frames[:, :, frame, 24:32, 8 * frame : 8 * frame + 8] = 1.0

    def gradient(emphasis: float) -> torch.Tensor:
        torch.manual_seed(1)
        pixels = frames.clone().requires_grad_(True)
        losses(vae, pixels, 0.0, emphasis)["l2"].backward()
        assert pixels.grad is not None
        return pixels.grad.abs()

    def share(of: torch.Tensor) -> float:
        near = moving(frames).expand_as(of) > 0
        return float(of[near].sum() / of.sum())

    assert share(gradient(8.0)) > 1.3 * share(gradient(0.0))


def test_an_anchor_holds_the_first_latents(vae: AutoencoderKLWan) -> None:
    """A wider copy starts where its anchor is; the same steps move its latents less with it than without it."""
    frames = torch.rand(1, 3, 5, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert float(losses(widen_vae(vae, 10, 8, 8), frames, 0.0, anchor=vae)["anchor"]) < 1e-9

    def moved(anchor: AutoencoderKLWan | None) -> float:
        torch.manual_seed(3)
        wide = widen_vae(vae, 10, 8, 8).requires_grad_(True)
        optimizer = torch.optim.SGD(wide.parameters(), 0.05)
        for _ in range(6):
            optimizer.zero_grad()
            total(losses(wide, frames, 0.0, anchor=anchor)).backward()
            optimizer.step()
        return float(losses(wide, frames, 0.0, anchor=vae)["anchor"].detach())

    assert 0 < moved(vae) < 0.5 * moved(None)


def test_kept_pictures_are_made_from_the_anchors_latents(vae: AutoencoderKLWan) -> None:
    """Then the encoder learns nothing of them but to stay near, and the decoder learns to show what is not its own."""
    torch.manual_seed(4)
    anchor = new_vae(config.VAE | {"base_dim": 8, "decoder_base_dim": 8, "z_dim": 8})
    frames = torch.rand(4, 3, 5, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1

    def gradients(kept: float) -> tuple[float, float]:
        vae.zero_grad()
        parts = losses(vae, frames, 0.0, anchor=anchor, kept=kept)
        parts["l1"].backward()
        sums = [
            sum(float(parameter.grad.abs().sum()) for parameter in half.parameters() if parameter.grad is not None)
            for half in (vae.encoder, vae.decoder)
        ]
        return sums[0], sums[1]

    assert gradients(0.0)[0] > 0
    encoder, decoder = gradients(1.0)
    assert encoder == 0
    assert decoder > 0


def test_styles_that_are_hard_to_hold_come_more_often() -> None:
    scenes = draw_scenes(random.Random(1), 600, styled=1.0)
    counts = {style: sum(scene.style == style for scene in scenes) for style in STYLES}
    assert sum(counts.values()) == len(scenes)
    shares = {style: STYLED_WEIGHTS.get(style, 1.0) / 18.5 for style in STYLES}
    for style, count in counts.items():
        assert abs(count / 600 - shares[style]) < 0.05, style
    assert min(counts.values()) > 0
    assert sum(bool(scene.style) for scene in draw_scenes(random.Random(1), 600, styled=0.0)) < 300
