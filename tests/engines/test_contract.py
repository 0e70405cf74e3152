"""One contract, run over every backend: the same inputs give the same outputs, which the caller then owns."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from engines import load_engines
from engines.base import Engines
from engines.checkpoint import Checkpoint, read_checkpoint
from engines.errors import EngineError
from tests import tiny

HEIGHT, WIDTH = 6, 4  # not the shapes that the graphs are traced with


def _backends() -> list[str]:
    return ["torch", *(["openvino"] if importlib.util.find_spec("openvino") else [])]


@pytest.fixture(scope="module", params=_backends())
def engines(request: pytest.FixtureRequest, tiny_checkpoint: Checkpoint) -> Engines:
    return load_engines(tiny_checkpoint, request.param)


@pytest.fixture(scope="module")
def reference(tiny_checkpoint: Checkpoint) -> Engines:
    return load_engines(tiny_checkpoint, "torch")


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.cpu() - b.cpu()).norm() / b.cpu().norm())


def test_text_encoder(engines: Engines, reference: Engines) -> None:
    ids = torch.randint(3, 300, (1, 12))
    mask = torch.ones_like(ids)
    mask[:, 9:] = 0
    embeds = engines.text_encoder.encode(ids.to(engines.device), mask.to(engines.device))
    assert embeds.shape == (1, 12, 16)
    assert embeds[:, 9:].abs().max() == 0.0
    assert _relative(embeds, reference.text_encoder.encode(ids, mask)) <= 1e-3


@pytest.mark.parametrize(("frames", "context"), [(1, 0), (3, 1), (3, 4), (2, 4)])
def test_transformer(engines: Engines, reference: Engines, frames: int, context: int) -> None:
    torch.manual_seed(frames + context)
    latents, embeds = torch.randn(1, 8, frames, HEIGHT, WIDTH), torch.randn(1, 16, 16)
    cache = torch.randn(2, 2, 2, context * HEIGHT * WIDTH // 4, 24)
    timesteps = torch.linspace(999.0, 500.0, frames)

    def run(side: Engines) -> tuple[torch.Tensor, torch.Tensor]:
        transformer, device = side.transformer, side.device
        text = transformer.text_keys_values(embeds.to(device))
        rotary = transformer.rotary(5, latents.to(device))
        rest = (latents.to(device), timesteps.to(device), text, rotary, cache.to(device))
        kept: list[torch.Tensor] = []
        transformer.keys_values(*rest, kept.append)
        return transformer.velocity(*rest), torch.stack(kept)

    velocity, keys_values = run(engines)
    kept = velocity.clone(), keys_values.clone()
    expected = run(reference)
    assert _relative(velocity, expected[0]) <= 2e-2
    assert _relative(keys_values, expected[1]) <= 2e-2
    run(engines)
    assert torch.equal(velocity, kept[0])
    assert torch.equal(keys_values, kept[1])


def test_vae_decoder(engines: Engines, reference: Engines) -> None:
    torch.manual_seed(2)
    latents = torch.randn(1, 8, 3, HEIGHT, WIDTH)

    def run(side: Engines) -> list[torch.Tensor]:
        state = side.vae_decoder.start(HEIGHT, WIDTH)
        return [side.vae_decoder.decode(latent.to(side.device), state) for latent in latents.split(1, dim=2)]

    made, expected = run(engines), run(reference)
    assert [tuple(m.shape) for m in made] == [(n, 16 * HEIGHT, 16 * WIDTH, 3) for n in (1, 4, 4)]
    for a, b in zip(made, expected, strict=True):
        difference = (a.int() - b.int()).abs()
        assert difference.max() <= 4
        assert difference.float().mean() <= 0.5
    assert all(torch.equal(a, b) for a, b in zip(made, run(engines), strict=True))


def test_two_clips_do_not_share_state(engines: Engines) -> None:
    torch.manual_seed(3)
    a, b = torch.randn(2, 1, 8, 1, HEIGHT, WIDTH).to(engines.device).unbind(0)
    decoder = engines.vae_decoder
    alone = decoder.start(HEIGHT, WIDTH)
    expected = [decoder.decode(a, alone), decoder.decode(a, alone)]
    one, other = decoder.start(HEIGHT, WIDTH), decoder.start(HEIGHT, WIDTH)
    mixed = [decoder.decode(a, one), decoder.decode(b, other), decoder.decode(a, one)]
    assert torch.equal(mixed[0], expected[0])
    assert torch.equal(mixed[2], expected[1])


def test_unknown_backend_says_what_is_allowed(tiny_checkpoint: Checkpoint) -> None:
    with pytest.raises(EngineError, match="auto, tensorrt, tensorrt-fp8, torch, compiled, fp8, openvino"):
        load_engines(tiny_checkpoint, "cuda")


def test_a_stopped_build_is_passed_over_for_the_next_backend_and_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU the first choice is another one")
    pytest.importorskip("openvino")
    own = {**tiny.STREAMING, "max_sequence_length": 18}  # of its own, so that nothing is cached for it
    checkpoint = read_checkpoint(tiny.save(tmp_path, streaming=own))
    engines = load_engines(checkpoint, "auto", stop=lambda: True)
    assert "OpenVINO" not in engines.label
    assert engines.passed_over is not None
    assert "stopped" in engines.passed_over.en
    with pytest.raises(EngineError, match="stopped"):
        load_engines(checkpoint, "openvino", stop=lambda: True)
