"""Every exported graph, run by ONNX Runtime, against the module in torch, at shapes that it was not traced with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from engines import export
from engines.checkpoint import Checkpoint
from engines.transformer_step import TextKeysValues, TimeEmbedding, TransformerStep, rotary_tables
from engines.vae_step import CacheShapes, FramesStep, VaeStep

TOKENS = 16
FORBIDDEN = {"ScatterND", "ScatterElements", "SplitToSequence", "SequenceAt", "If", "Loop", "DFT", "STFT"}


class Exported:
    """Graphs made once a session, and how ONNX Runtime runs them."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self._checkpoint, self._folder = checkpoint, folder

    def path(self, name: str, precision: export.Precision = "fp32") -> Path:
        path = self._folder / f"{name}-{precision}.onnx"
        if not path.exists():
            with torch.inference_mode(False):  # some tests are in it, a build is not
                graph = export.graph(self._checkpoint, name, tokens=TOKENS, precision=precision, text_precision="fp32")
                export.write(graph, path)
        return path

    def run(self, name: str, inputs: dict[str, torch.Tensor], precision: export.Precision = "fp32") -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(self.path(name, precision), options, providers=["CPUExecutionProvider"])
        assert [i.name for i in session.get_inputs()] == list(inputs)
        made = session.run(None, {key: value.numpy() for key, value in inputs.items()})
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, map(torch.from_numpy, made), strict=True))


@pytest.fixture(scope="module")
def exported(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tiny_folder, tmp_path_factory.mktemp("onnx"))


def _step_inputs(checkpoint: Checkpoint, frames: int, height: int, width: int, context: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(frames + context)
    grid = (frames, height // 2, width // 2, -1)
    cos, sin = rotary_tables(checkpoint.transformer, 5, frames, height, width)
    return {
        "latents": torch.randn(1, 8, frames, height, width),
        "timesteps": torch.linspace(999.0, 0.0, frames),
        "text": torch.randn(2, 2, 2, TOKENS, 24),
        "cos": cos.view(grid),
        "sin": sin.view(grid),
        "cache": torch.randn(2, 2, 2, context * height * width // 4, 24),
    }


@torch.inference_mode()
def _step(checkpoint: Checkpoint, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    time = TimeEmbedding(checkpoint.transformer)(inputs["timesteps"])
    tables = inputs["cos"].flatten(0, 2), inputs["sin"].flatten(0, 2)
    return TransformerStep(checkpoint.transformer)(inputs["latents"], time, inputs["text"], *tables, inputs["cache"])


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).norm() / b.float().norm())


@torch.inference_mode()
def test_text_encoder(exported: Exported, tiny_checkpoint: Checkpoint) -> None:
    ids = torch.randint(3, 250, (1, TOKENS))
    mask = (torch.arange(TOKENS) < 9).long()[None]
    made = exported.run("text_encoder", {"input_ids": ids, "attention_mask": mask})["prompt_embeds"]
    expected = tiny_checkpoint.text_encoder(ids, mask).last_hidden_state * mask.unsqueeze(-1)
    assert (made - expected).abs().max() <= 1e-4
    assert made[:, 9:].abs().max() == 0.0


@torch.inference_mode()
def test_text_keys_values(exported: Exported, tiny_checkpoint: Checkpoint) -> None:
    embeds = torch.randn(1, TOKENS, 16)
    made = exported.run("text_keys_values", {"prompt_embeds": embeds})["text"]
    assert (made - TextKeysValues(tiny_checkpoint.transformer)(embeds)).abs().max() <= 1e-4


@pytest.mark.parametrize(
    ("frames", "height", "width", "context"), [(1, 4, 6, 0), (3, 6, 4, 1), (3, 4, 6, 4), (2, 2, 2, 0)]
)
def test_transformer(
    exported: Exported, tiny_checkpoint: Checkpoint, frames: int, height: int, width: int, context: int
) -> None:
    inputs = _step_inputs(tiny_checkpoint, frames, height, width, context)
    made = exported.run("transformer", inputs)
    velocity, keys_values = _step(tiny_checkpoint, inputs)
    assert (made["velocity"] - velocity).abs().max() <= 1e-4
    assert (made["keys_values"] - keys_values).abs().max() <= 1e-4


def test_transformer_without_context(tiny_folder: Path, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    graph = export.graph(
        tiny_folder, "transformer", tokens=TOKENS, precision="fp32", text_precision="fp32", gives_context=False
    )
    export.write(graph, tmp_path / "graph.onnx")
    inputs = _step_inputs(tiny_checkpoint, 3, 6, 4, 0)
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    (velocity,) = session.run(None, {key: value.numpy() for key, value in inputs.items() if key != "cache"})
    assert np.abs(velocity - _step(tiny_checkpoint, inputs)[0].numpy()).max() <= 1e-4


def test_transformer_for_runtimes_without_attention(
    tiny_folder: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    graph = export.graph(
        tiny_folder, "transformer", tokens=TOKENS, precision="fp32", text_precision="fp32", fused_attention=False
    )
    export.write(graph, tmp_path / "plain.onnx")
    assert not {"Attention", "RMSNormalization"} & {n.op_type for n in onnx.load(tmp_path / "plain.onnx").graph.node}
    inputs = _step_inputs(tiny_checkpoint, 3, 6, 4, 4)
    session = onnxruntime.InferenceSession(tmp_path / "plain.onnx", providers=["CPUExecutionProvider"])
    made = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    for a, b in zip(made, _step(tiny_checkpoint, inputs), strict=True):
        assert np.abs(a - b.numpy()).max() <= 1e-4


@torch.inference_mode()
def test_vae_streams(exported: Exported, tiny_checkpoint: Checkpoint) -> None:
    """Three latents at a size of its own: caches to 1e-4, pixels to the rounding of a byte."""
    vae, height, width = tiny_checkpoint.vae, 6, 4
    caches = expected_caches = [torch.zeros(shape) for shape in CacheShapes(vae)(height, width)]
    for index, latents in enumerate(torch.randn(3, 1, 8, 1, height, width)):
        name = "vae_next" if index else "vae_first"
        given = {"latents": latents} | {f"cache_{i}": cache for i, cache in enumerate(caches)}
        made = exported.run(name, given)
        pixels, *expected_caches = FramesStep(VaeStep(vae, first=index == 0))(latents, *expected_caches)
        caches = [made[f"new_cache_{i}"] for i in range(len(caches))]
        assert made["pixels"].dtype == torch.uint8
        assert made["pixels"].shape == pixels.shape == (4 if index else 1, 96, 64, 3)
        assert (made["pixels"].int() - pixels.int()).abs().max() <= 1
        assert all((a - b).abs().max() <= 1e-4 for a, b in zip(caches, expected_caches, strict=True))


def test_half_precision_keeps_its_digits(exported: Exported, tiny_checkpoint: Checkpoint) -> None:
    """float16 graphs, with modulation and rotation in float32, stay within what plans are allowed on a GPU."""
    inputs = _step_inputs(tiny_checkpoint, 3, 6, 4, 4)
    half = inputs | {name: inputs[name].half() for name in ("text", "cache")}
    made = exported.run("transformer", half, "fp16")
    velocity, keys_values = _step(tiny_checkpoint, inputs)
    assert made["velocity"].dtype == torch.float32
    assert made["keys_values"].dtype == torch.float16
    assert _relative(made["velocity"], velocity) <= 5e-3
    assert _relative(made["keys_values"], keys_values) <= 5e-3


def test_a_narrow_model_has_its_stream_in_float32(
    tiny_folder: Path, tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = _step_inputs(tiny_checkpoint, 3, 6, 4, 4)
    expected = _step(tiny_checkpoint, inputs)[0]
    errors: dict[int, float] = {}
    for narrow in (1024, 0):  # 0: as a wide model
        monkeypatch.setattr(export, "_NARROW", narrow)
        module = export.graph(tiny_folder, "transformer", tokens=TOKENS, precision="bf16", text_precision="fp32").module
        half = inputs | {name: inputs[name].bfloat16() for name in ("text", "cache")}
        with torch.inference_mode():
            errors[narrow] = _relative(module(*half.values())[0], expected)
        weights = module.get_submodule("step.patch_embedding").weight
        assert weights.dtype == (torch.float32 if narrow else torch.bfloat16)
    narrow, wide = errors.values()
    assert narrow < 0.8 * wide


@pytest.mark.parametrize("name", export.GRAPHS)
def test_operators(exported: Exported, name: str) -> None:
    graph = onnx.load(exported.path(name)).graph
    assert not {node.op_type for node in graph.node} & FORBIDDEN
    kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert kinds <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.UINT8}


def test_large_weights_lie_beside_the_graph(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "INLINE_BYTES", 100)
    graph = export.graph(tiny_folder, "text_keys_values", tokens=TOKENS, precision="fp32", text_precision="fp32")
    path = tmp_path / "text.onnx"
    export.write(graph, path)
    beside = [file for file in tmp_path.iterdir() if file != path]
    assert len(beside) == 1
    assert beside[0].stat().st_size > 40_000  # float32 keys and values of two layers
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    embeds = np.ones((1, TOKENS, 16), np.float32)
    assert session.run(None, {"prompt_embeds": embeds})[0].shape == (2, 2, 2, TOKENS, 24)
