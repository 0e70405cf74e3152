"""TensorRT against torch on the same inputs, engine by engine and end to end. Runs where there is a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engines import build, tensorrt_engine, torch_engine
from engines.base import Engines
from engines.checkpoint import Checkpoint, read_checkpoint, read_configs
from engines.errors import EngineError
from engines.export import GRAPHS
from engines.gpu import find_gpu, why_no_tensorrt
from engines.shapes import read_shapes
from engines.tensorrt_library import library_for
from pipeline import generate
from pipeline.model import EMBEDDED, Model
from pipeline.request import VideoRequest
from pipeline.spec import read_spec

_WHY_NOT = why_no_tensorrt(find_gpu())
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(_WHY_NOT is not None, reason=_WHY_NOT.en if _WHY_NOT else ""),
]
LIMITS = {"fp16": 5e-3, "bf16": 1e-2}
HEIGHT, WIDTH, TOKENS = 28, 48, 336  # latents of 768 x 432, and tokens of one of them


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return read_checkpoint(EMBEDDED)


@pytest.fixture(scope="module")
def reference(checkpoint: Checkpoint) -> Engines:
    """float32 on the CPU: owns its copy, so the checkpoint stays as it is."""
    return torch_engine.load(checkpoint, device=torch.device("cpu"))


Kind = tuple[build.Precision, build.Profiles, str]
KINDS = [("fp16", "one", "whole"), ("bf16", "one", "whole"), ("fp16", "each", "whole"), ("fp16", "each", "layers")]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture(scope="module")
def precision(kind: Kind) -> str:
    return kind[0]


@pytest.fixture(scope="module")
def engines(
    kind: Kind,
    tmp_path_factory: pytest.TempPathFactory,
) -> Engines:
    gpu = find_gpu()
    assert gpu is not None
    library, (precision, profiles, transformer) = library_for(gpu), kind
    options = build.options_for(
        EMBEDDED,
        build.local_target(gpu, library),
        precision=precision,
        profiles=profiles,
        shapes=read_shapes(EMBEDDED, frame_sizes=((768, 432),)),
        layered=transformer == "layers",
    )
    plans = build.build_in_child(options, library, root=tmp_path_factory.mktemp("plans"))
    # A checkpoint of its own, whose transformer is given away.
    return tensorrt_engine.load(read_checkpoint(EMBEDDED), plans, library, precision=precision)


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float().cpu() - b.float()).norm() / b.float().norm())


def test_text(engines: Engines, reference: Engines, precision: str) -> None:
    ids = torch.randint(3, 1000, (1, 128))
    mask = (torch.arange(128) < 20).long()[None]
    expected = reference.text_encoder.encode(ids, mask)
    made = engines.text_encoder.encode(ids, mask)
    assert _relative(made, expected) <= LIMITS[precision]
    text = engines.transformer.text_keys_values(expected.to(engines.device))
    assert _relative(text, reference.transformer.text_keys_values(expected)) <= LIMITS[precision]


@pytest.mark.parametrize(("frames", "context"), [(1, 0), (3, 1), (3, 4)])
def test_transformer(
    engines: Engines, reference: Engines, checkpoint: Checkpoint, precision: str, frames: int, context: int
) -> None:
    torch.manual_seed(frames + context)
    config = checkpoint.transformer.config
    latents = torch.randn(1, config["in_channels"], frames, HEIGHT, WIDTH)
    timesteps = torch.linspace(999.0, 500.0, frames)
    embeds = torch.randn(1, 128, config["text_dim"])
    layers, heads, dim = (config[k] for k in ("num_layers", "num_attention_heads", "attention_head_dim"))
    cache = torch.randn(layers, 2, heads, context * TOKENS, dim)

    def run(side: Engines) -> tuple[torch.Tensor, torch.Tensor]:
        transformer, device = side.transformer, side.device
        text = transformer.text_keys_values(embeds.to(device))
        rotary = transformer.rotary(5, latents.to(device))
        rest = (latents.to(device), timesteps.to(device), text, rotary, cache.to(device))
        own: list[torch.Tensor] = []
        transformer.keys_values(*rest, own.append)
        return transformer.velocity(*rest), torch.stack(own)

    made, expected = run(engines), run(reference)
    kept = [tensor.clone() for tensor in made]
    assert _relative(made[0], expected[0]) <= LIMITS[precision]
    assert _relative(made[1], expected[1]) <= LIMITS[precision]
    run(engines)
    assert all(torch.equal(a, b) for a, b in zip(made, kept, strict=True)), "an output was written to again"


def test_vae(engines: Engines, reference: Engines, checkpoint: Checkpoint, precision: str) -> None:
    torch.manual_seed(2)
    latents = torch.randn(1, checkpoint.vae.config["z_dim"], 4, HEIGHT, WIDTH)

    def run(side: Engines) -> torch.Tensor:
        state = side.vae_decoder.start(HEIGHT, WIDTH)
        parts = [side.vae_decoder.decode(part.to(side.device), state) for part in latents.split(1, dim=2)]
        return torch.cat(parts).float()

    made, expected = run(engines), run(reference)
    assert made.shape == (13, 16 * HEIGHT, 16 * WIDTH, 3)
    assert float((made - expected).norm() / expected.norm()) <= LIMITS[precision]


def test_end_to_end(engines: Engines, reference: Engines, checkpoint: Checkpoint) -> None:
    spec = read_spec(read_configs(EMBEDDED))
    request = VideoRequest(prompt="一只红色的球从左向右移动", seconds=2, seed=7, num_inference_steps=4)

    def frames(side: Engines) -> np.ndarray:
        model = Model(spec=spec, tokenizer=checkpoint.tokenizer, engines=side)
        return np.concatenate([made.pixels for made in generate(request, model)]).astype(np.float32)

    error = np.square(frames(engines) - frames(reference)).mean()
    assert 10 * np.log10(255.0**2 / error) >= 40.0


def test_a_shape_that_no_profile_has_is_named(engines: Engines, checkpoint: Checkpoint) -> None:
    decoder, channels = engines.vae_decoder, checkpoint.vae.config["z_dim"]
    expected, given = (rf"\[1, {channels}, 1, {rows}, 48\]" for rows in (28, 30))
    with pytest.raises(EngineError, match=rf"vae_first(-28x48)?: latents: expected {expected}, given {given}"):
        decoder.decode(torch.zeros(1, channels, 1, 30, 48, device=engines.device), decoder.start(30, 48))


def test_a_foreign_plan_is_refused(engines: Engines, checkpoint: Checkpoint, precision: str, tmp_path: Path) -> None:
    """Bytes that no TensorRT has written: the library's own check, behind the cache's."""
    assert engines.label.startswith("TensorRT")
    for name in GRAPHS:
        (tmp_path / f"{name}.plan").write_bytes(b"not a plan" * 100)
    gpu = find_gpu()
    assert gpu is not None
    with pytest.raises(EngineError, match="cannot read the engine"):
        tensorrt_engine.load(checkpoint, tmp_path, library_for(gpu), precision=precision)
