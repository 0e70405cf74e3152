"""What TensorRT's backend decides before a GPU is needed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import pytest
import torch

from engines import tensorrt_engine
from engines.checkpoint import Checkpoint
from engines.errors import EngineError
from engines.tensorrt_plan import Plans
from engines.torch_engine import TorchVaeDecoder

CPU = torch.device("cpu")


@pytest.mark.parametrize(("free_bytes", "expected"), [(120, ()), (119, ("text_encoder",)), (99, None)])
def test_what_takes_turns_follows_from_all_files_of_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, expected: tuple[str, ...] | None
) -> None:
    names = ["text_encoder", "text_keys_values", "vae_first-4x6", "vae_next-4x6"]
    for name in [*names, "transformer-5x4x6+0", "transformer-9x4x6+0"]:
        (tmp_path / f"{name}.plan").write_bytes(b"0123456789")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (free_bytes, 1000))
    graphs = ("text_encoder", "text_keys_values", "transformer", "vae_first", "vae_next")
    assert set(tensorrt_engine._taking_turns(tmp_path, CPU, None)) == set(graphs if expected is None else expected)


def test_a_layered_transformers_own_weights_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Checkpoint
) -> None:
    for name in ("text_encoder", "layer_before-5x4x6", "layer_after-5x4x6", "vae_first", "vae_next"):
        (tmp_path / f"{name}.plan").write_bytes(b"0123456789")
    weights = 2 * sum(parameter.numel() for parameter in tiny_checkpoint.transformer.parameters())
    turns: dict[int, set[str]] = {}
    for free_bytes in (2 * (weights + 30), 2 * (weights + 20), 2 * (weights + 20) - 1):
        monkeypatch.setattr("torch.cuda.mem_get_info", lambda _, free=free_bytes: (free, free))
        turns[free_bytes - 2 * weights] = set(tensorrt_engine._taking_turns(tmp_path, CPU, tiny_checkpoint.transformer))
    every = {"text_encoder", "transformer", "vae_first", "vae_next"}
    assert turns == {60: set(), 40: {"text_encoder"}, 39: every}


def test_a_vae_that_leaves_float16_is_served_by_pytorch_from_the_next_clip_on(tiny_checkpoint: Checkpoint) -> None:
    class Overflowing:
        """As a plan in float16 whose last cache is out of range."""

        dtypes: ClassVar = {"cache_0": torch.float16}

        def __call__(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            caches = {f"new_{name}": value * 0 for name, value in inputs.items() if name.startswith("cache")}
            caches[list(caches)[-1]] = caches[list(caches)[-1]] + torch.inf
            return caches | {"pixels": torch.zeros(1, 64, 96, 3, dtype=torch.uint8)}

    plans = cast(Plans, Overflowing())
    decoder = tensorrt_engine.TensorRtVaeDecoder(plans, plans, tiny_checkpoint.vae, CPU)
    latents = torch.randn(1, 8, 1, 4, 6)
    with pytest.raises(EngineError, match="leaves float16's range"):
        decoder.decode(latents, decoder.start(4, 6))
    exact = TorchVaeDecoder(tiny_checkpoint.vae, CPU)
    state, expected = decoder.start(4, 6), exact.start(4, 6)
    assert {cache.dtype for cache in state.caches} == {torch.bfloat16}
    for _ in range(2):
        difference = decoder.decode(latents, state).float() - exact.decode(latents, expected).float()
        assert difference.abs().mean() < 4
