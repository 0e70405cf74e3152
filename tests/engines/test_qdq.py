"""FP8 in a graph: what ONNX Runtime makes of it is what was chosen by, and TensorRT-RTX takes it."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from engines import build, export, fp8, qdq
from engines.checkpoint import Checkpoint
from engines.compile import compile_plan, plan_specs
from engines.shapes import read_shapes
from engines.tensorrt_library import import_library
from engines.transformer_step import TransformerStep, random_inputs, with_text

BUDGET = 0.05


@torch.inference_mode()
def test_a_linear_rounds_to_three_bits_and_has_room_above_its_calibration() -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(64, 48), torch.randn(2, 5, 64)
    largest = qdq.calibrate(linear, [""], lambda: linear(x))[""]
    assert largest == x.abs().max()
    rounded = qdq.QdqLinear(linear, largest)
    for scale in (1.0, qdq.HEADROOM):
        assert 1e-3 < fp8.relative_error(rounded(scale * x), linear(scale * x)) < 5e-2
    assert fp8.relative_error(rounded(4 * qdq.HEADROOM * x), linear(4 * qdq.HEADROOM * x)) > 0.2  # cut


def _graph(checkpoint: Path, precision: export.Precision, path: Path) -> export.Graph:
    """The transformer's graph with what is worth it in FP8, written to `path`."""
    graph = export.graph(
        checkpoint,
        "transformer",
        tokens=read_shapes(checkpoint).tokens,
        precision=precision,
        text_precision="fp32",
        fp8_error=BUDGET,
    )
    export.write(graph, path)
    return graph


def test_the_graph_rounds_as_the_module_that_was_measured(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "transformer.onnx"
    graph = _graph(tiny_folder, "fp32", path)
    linears = [name for name, module in graph.module.named_modules() if isinstance(module, qdq.QdqLinear)]
    assert linears
    assert all(".blocks." in name for name in linears)  # first and last product keep the graph's precision
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    rounded = nodes.count("QuantizeLinear")  # query, key and value share one
    assert 0 < rounded < len(linears) == nodes.count("DequantizeLinear") - rounded
    torch.manual_seed(2)
    inputs = {name: torch.randn(value.shape) for name, value in graph.inputs.items()}
    inputs["timesteps"] = torch.tensor([900.0, 500.0, 100.0])
    with torch.inference_mode():
        expected, _ = graph.module(*inputs.values())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # takes e4m3 for integers
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    made, _ = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    assert fp8.relative_error(torch.from_numpy(made), expected) <= 1e-2  # a sum at a rounding's edge falls either way


@torch.inference_mode()
def test_the_budget_holds(tiny_checkpoint: Checkpoint) -> None:
    step = TransformerStep(tiny_checkpoint.transformer)
    sample = with_text(step, random_inputs(step))
    exact = step(*sample)[0]
    names, error = qdq.quantise_within(step.blocks, lambda: step(*sample)[0], BUDGET)
    assert names
    assert 0 < error == fp8.relative_error(step(*sample)[0], exact) <= BUDGET


def test_it_compiles_ahead_of_time(tiny_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed (pip install -r requirements-trt.txt)")
    _graph(tiny_folder, "bf16", tmp_path / "transformer.onnx")
    for target in ("sm89", "sm120"):
        options = build.options_for(tiny_folder, target, fp8_error=BUDGET)
        assert "-fp8-" in options.name
        (spec,) = plan_specs(options, "transformer")
        plan = tmp_path / f"{target}.plan"
        compile_plan(options, import_library("tensorrt_rtx"), spec, tmp_path / "transformer.onnx", plan)
        assert plan.stat().st_size > 0
