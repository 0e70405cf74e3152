"""Causal inference against the public LongLive implementation, with equal weights: same latents after five blocks.

tests/data/longlive_reference.safetensors holds what NVlabs/LongLive's own `CausalDiffusionInferencePipeline` (commit
7860ad9's tree, none of its code is here) made on a CPU in float32 of its `CausalWanModel` with these sizes and the
weights, prompt and noise of this file's recipe: blocks of 2 latents, local attention of 6 (sink 2, window 2, the block
itself), 4 steps, shift 5, no guidance. Only its attention kernel was replaced, by scaled_dot_product_attention, because
the kernel needs a GPU. Sink and window have rolled over from the fourth block on.
"""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file

from engines.checkpoint import read_checkpoint, read_configs
from engines.residency import Residency
from engines.torch_engine import TorchTransformer
from pipeline import convert
from pipeline.blocks import Block, Plan
from pipeline.causal import Causal
from pipeline.denoise import Branch, Denoiser, Schedule
from pipeline.errors import CheckpointError
from pipeline.spec import read_spec
from tests import original, tiny

REFERENCE = Path(__file__).parents[1] / "data" / "longlive_reference.safetensors"
CPU = torch.device("cpu")


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """As training code saves it: nested, and with a wrapper's prefix."""
    prefixed = {f"model._fsdp_wrapped_module.{name}": tensor for name, tensor in original.weights().items()}
    path = tmp_path / "model_bf16.pt"
    torch.save({"generator": prefixed}, path)
    return path


def _transformer(weights_file: Path) -> WanTransformer3DModel:
    return convert.read_transformer(weights_file, tiny.transformer().config)


def test_five_blocks_equal_the_reference(weights_file: Path) -> None:
    expected = load_file(REFERENCE)["latents"]
    generator = torch.Generator().manual_seed(5)
    embeds = torch.randn(1, 16, 16, generator=generator)
    embeds[:, 9:] = 0.0
    noise = torch.randn(1, 8, 10, 4, 6, generator=generator)

    blocks = tuple(
        Block(start, start + 2, tuple(sorted({*range(min(start, 2)), *range(max(start - 2, 0), start)})))
        for start in range(0, 10, 2)
    )
    assert blocks[4].context == (0, 1, 6, 7)
    plan = Plan(4, 6, blocks, num_frames=37, frame_height=64, frame_width=96)
    schedule = Schedule(
        num_steps=4,
        shift=5.0,
        denoise_strength=1.0,
        guidance_scale=1.0,
        sigma_limits=(0.999, 0.0),
        solver="unipc",
        solver_order=2,
    )
    engine = TorchTransformer(_transformer(weights_file), Residency(CPU), torch.float32)
    branch = Branch(engine, embeds)
    denoiser = Denoiser(
        Causal([branch], capacity=4), [[branch]], plan=plan, schedule=schedule, channels=8, device=CPU, seed=0
    )
    for block in blocks:
        denoiser.start(block)
        latents = noise[:, :, block.start : block.stop]
        for sigma, next_sigma in itertools.pairwise(schedule.sigmas(block)):
            latents = denoiser.step(block, latents, sigma, next_sigma)
        assert (latents - expected[:, :, block.start : block.stop]).abs().max() <= 1e-3


def test_a_converted_checkpoint_is_read_like_any_other(weights_file: Path, tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "LongLive-2.0-5B"
    assert convert.main([str(weights_file), str(out), "--base", str(tiny_folder)]) == 0
    spec = read_spec(read_configs(out))
    assert (spec.strategy, spec.solver, spec.num_inference_steps, spec.flow_shift) == ("causal", "unipc", 4, 5.0)
    grid = spec.grid
    assert (grid.first_block, grid.block, grid.sink, grid.window) == (8, 8, 8, 16)
    made = read_checkpoint(out).transformer.state_dict()
    assert all(torch.equal(made[name], tensor) for name, tensor in convert.renamed(original.weights()).items())


def test_other_weights_are_refused(weights_file: Path, tiny_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    path = copy / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ffn_dim": 128}))
    with pytest.raises(CheckpointError, match=r"weights do not fit, first blocks\.0\.ffn"):
        convert.convert(weights_file, tmp_path / "out", copy)
    assert not (tmp_path / "out").exists()


def test_a_file_that_holds_code_is_not_run(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"generator": Path("anything")}, path)
    with pytest.raises(CheckpointError, match="not a file of tensors alone"):
        convert.convert(path, tmp_path / "out", tiny_folder)
