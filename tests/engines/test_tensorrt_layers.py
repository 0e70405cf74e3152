"""A transformer whose layers are run by the exported parts of a layer, against PyTorch; and its turns with plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import onnxruntime
import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformerBlock

from engines import export
from engines.checkpoint import Checkpoint, read_checkpoint
from engines.layer_parts import LAYER_PARTS, WEIGHTS, LayerPart
from engines.tensorrt_layers import NAME, LayerRunner, TurnsWithPlans
from engines.tensorrt_plan import Plans, Session, Turns
from engines.torch_engine import TorchTransformer
from engines.transformer_step import TextKeysValues, TimeEmbedding, TransformerStep, rotary_tables

TOKENS, HEIGHT, WIDTH = 16, 4, 6


class OnnxPlans:
    """The exported graph of one part of a layer, run by ONNX Runtime in place of TensorRT."""

    def __init__(self, graph: Path) -> None:
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.dtypes = {"x": torch.float32}
        self.calls = 0

    def __call__(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert {i.name for i in self._session.get_inputs()} == set(inputs)
        self.calls += 1
        names = [output.name for output in self._session.get_outputs()]
        made = self._session.run(names, {name: value.detach().numpy() for name, value in inputs.items()})
        return dict(zip(names, map(torch.from_numpy, made), strict=True))


@pytest.fixture(scope="module")
def plans(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[LayerPart, OnnxPlans]:
    folder = tmp_path_factory.mktemp("layers")
    with torch.inference_mode(False):
        for part in LAYER_PARTS:
            graph = export.graph(tiny_folder, part, tokens=TOKENS, precision="fp32", text_precision="fp32")
            export.write(graph, folder / f"{part}.onnx")
    return {part: OnnxPlans(folder / f"{part}.onnx") for part in LAYER_PARTS}


def _runner(plans: dict[LayerPart, OnnxPlans]) -> LayerRunner:
    return LayerRunner(lambda part: cast(Plans, plans[part]))


@torch.inference_mode()
@pytest.mark.parametrize(("frames", "context"), [(1, 0), (3, 1), (2, 4)])
def test_all_layers_by_two_graphs(
    plans: dict[LayerPart, OnnxPlans], tiny_checkpoint: Checkpoint, frames: int, context: int
) -> None:
    """Velocity, keys and values of every length of block and context, at one graph's two parts."""
    torch.manual_seed(frames)
    model = tiny_checkpoint.transformer
    cache = torch.randn(2, 2, 2, context * HEIGHT * WIDTH // 4, 24)
    given = (
        torch.randn(1, 8, frames, HEIGHT, WIDTH),
        TimeEmbedding(model)(torch.linspace(999.0, 0.0, frames)),
        TextKeysValues(model)(torch.randn(1, TOKENS, 16)),
        *rotary_tables(model, 5, frames, HEIGHT, WIDTH),
        cache,
    )
    step, layered = TransformerStep(model), TransformerStep(model)
    layered.run_layers_by(_runner(plans))
    calls = [plan.calls for plan in plans.values()]
    for made, expected in zip(layered(*given), step(*given), strict=True):
        assert (made - expected).abs().max() <= 1e-4
    assert [plan.calls for plan in plans.values()] == [n + len(step.blocks) for n in calls]


def test_each_part_has_the_weights_that_it_reads(tiny_checkpoint: Checkpoint) -> None:
    """Together all of a layer's, but for those of its text keys and values."""
    block = cast(WanTransformerBlock, tiny_checkpoint.transformer.blocks[0])
    elsewhere = {f"attn2.{name}" for name in ("to_k.weight", "to_k.bias", "to_v.weight", "to_v.bias", "norm_k.weight")}
    named = {name for names in WEIGHTS.values() for name in names}
    assert named | elsewhere == dict(block.named_parameters()).keys()
    assert not named & elsewhere


@pytest.mark.parametrize(
    ("names", "left"), [((), False), (("text_encoder",), True), (("text_encoder", "transformer"), True)]
)
def test_one_that_takes_turns_alone_leaves_for_every_other(names: tuple[str, ...], left: bool) -> None:
    turns, first = Turns(frozenset(names)), PlanThere()
    turns.admit("text_encoder", first)
    turns.admit("text_encoder", first)
    turns.admit("transformer", PlanThere())
    assert first.left == left


class Alone(Session):
    """A session without a GPU: its turns, and nothing that is run."""

    def __init__(self, *taking_turns: str) -> None:
        self.turns, self.device = Turns(frozenset(taking_turns)), torch.device("cpu")
        self.lock = cast(Any, _Lock())


class _Lock:
    held = 0

    def __enter__(self) -> None:
        self.held += 1

    def __exit__(self, *_: object) -> None:
        self.held -= 1


class PlanThere:
    left = False

    def leave(self) -> None:
        self.left = True


def test_weights_and_plans_take_turns(
    plans: dict[LayerPart, OnnxPlans], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is there with the other, and what a transformer on the device gives is what it gives without turns."""
    emptied: list[bool] = []
    monkeypatch.setattr("torch.cuda.synchronize", lambda _: None)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: emptied.append(residency.resident == ()))
    source = read_checkpoint(tiny_folder).transformer
    session = Alone("text_encoder", "transformer")
    residency = TurnsWithPlans(session)
    runner = _runner(plans)
    layered = TorchTransformer(source, residency, runner.dtype, NAME, run_layer=runner)
    held: list[int] = []

    def run(transformer: TorchTransformer) -> torch.Tensor:
        torch.manual_seed(1)
        text = transformer.text_keys_values(torch.randn(1, TOKENS, 16))
        latents = torch.randn(1, 8, 2, HEIGHT, WIDTH)
        given = (latents, torch.tensor([999.0, 500.0]), text, transformer.rotary(0, latents), text[:, :, :, :0])
        transformer.keys_values(*given, lambda _: held.append(cast(_Lock, session.lock).held))
        return transformer.velocity(*given)

    plan = PlanThere()
    session.turns.admit("text_encoder", plan)
    assert residency.resident == ()
    made = run(layered)
    assert plan.left
    assert residency.resident == ("transformer",)
    assert held == [1, 1]
    session.turns.admit("vae_first", PlanThere())  # which takes no turns
    assert residency.resident == ("transformer",)
    assert emptied == []
    session.turns.admit("text_encoder", plan)
    assert residency.resident == ()
    assert emptied == [True]  # the room is TensorRT's now
    expected = run(TorchTransformer(source, type(residency)(Alone()), torch.float32))
    assert (made - expected).abs().max() <= 1e-4
