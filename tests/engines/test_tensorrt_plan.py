"""Which plan of a graph takes which shapes, and which of them are on the GPU; no plan is run.

The plans are the real ones. What stands for the library knows of an engine only its tensors and their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from engines.errors import EngineError
from engines.tensorrt_library import Library
from engines.tensorrt_plan import Plan, Plans, Turns

Shapes = dict[str, tuple[int, ...]]
FIVE: Shapes = {"latents": (1, 8, 5, 4, 6), "timesteps": (5,)}
NINE: Shapes = {"latents": (1, 8, 9, 4, 6), "timesteps": (9,)}
_TRT = SimpleNamespace(
    TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"),
    DataType=SimpleNamespace(FLOAT=0, HALF=1, BF16=2, INT64=3, INT32=4, UINT8=5, BOOL=6),
    ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="ours"),
    __version__="10.0",
)


class _Engine:
    def __init__(self, shapes: Shapes) -> None:
        self.shapes, self.names = shapes, [*shapes, "velocity"]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> str:
        return "input" if name in self.shapes else "output"

    def get_tensor_dtype(self, _: str) -> int:
        return _TRT.DataType.HALF

    def get_tensor_profile_shape(self, name: str, _: int) -> list[list[int]]:
        return [list(self.shapes[name])] * 3


class _Plan(Plan):
    """One that comes onto the GPU as any, and then only says which one it is."""

    def __call__(self, inputs: Mapping[str, Tensor], *, drop: Sequence[str] = ()) -> dict[str, Tensor]:
        assert not self.misfits(inputs)
        self._enter()
        return {self.name: torch.zeros(len(drop))}

    @property
    def is_there(self) -> bool:
        return self._engine is not None


def _plans(folder: Path, shapes: Mapping[str, Shapes], taking_turns: Sequence[str] = ()) -> tuple[Any, list[_Plan]]:
    """A session, and a plan of the graph "transformer" or "vae_next" for each of these files."""
    session: Any = SimpleNamespace(
        library=Library(_TRT, "tensorrt"),
        turns=Turns(frozenset(taking_turns)),
        runtime=SimpleNamespace(deserialize_cuda_engine=lambda content: _Engine(shapes[bytes(content).decode()])),
        stream=SimpleNamespace(synchronize=lambda: None),
        arena=SimpleNamespace(clear=lambda: None),
        scratch={},
    )
    made: list[_Plan] = []
    for name in shapes:
        (file := folder / f"{name}.plan").write_text(name)
        made.append(_Plan(session, name.partition("-")[0], file, folder / f"{name}.bin"))
    return session, made


def _inputs(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def test_a_call_goes_to_the_plan_of_its_shapes(tmp_path: Path) -> None:
    _, made = _plans(tmp_path, {"transformer-5x4x6+0": FIVE, "transformer-9x4x6+0": NINE})
    plans = Plans(made)
    assert [*plans(_inputs(NINE), drop=("keys_values",))] == ["transformer-9x4x6+0"]
    assert [*plans(_inputs(FIVE))] == ["transformer-5x4x6+0"]
    assert plans.dtypes == {"latents": torch.float16, "timesteps": torch.float16, "velocity": torch.float16}


def test_shapes_that_no_plan_takes_are_told_beside_the_nearest_ones(tmp_path: Path) -> None:
    _, made = _plans(tmp_path, {"transformer-5x4x6+0": FIVE, "transformer-9x4x6+0": NINE})
    with pytest.raises(EngineError) as told:
        Plans(made)(_inputs(NINE | {"latents": (1, 8, 9, 6, 4)}))
    assert str(told.value) == "transformer-9x4x6+0: latents: expected [1, 8, 9, 4, 6], given [1, 8, 9, 6, 4]"
    with pytest.raises(EngineError, match=r"transformer-9x4x6\+0: timesteps: missing; given: latents"):
        Plans(made)({"latents": torch.zeros(NINE["latents"])})


def test_plans_of_one_graph_take_turns_with_each_other(tmp_path: Path) -> None:
    shapes = {"vae_next": FIVE, "transformer-5x4x6+0": FIVE, "transformer-9x4x6+0": NINE}
    session, made = _plans(tmp_path, shapes, taking_turns=("transformer",))
    vae, five, nine = made
    assert [plan.is_there for plan in made] == [True, False, True], "the second one left for the third to be read"
    Plans([five, nine])(_inputs(FIVE))
    assert [plan.is_there for plan in made] == [True, True, False]
    assert session.turns.guest is five
    Plans([five, nine])(_inputs(NINE))
    assert [plan.is_there for plan in made] == [True, False, True]
    Plans([vae])(_inputs(FIVE))
    assert [plan.is_there for plan in made] == [True, False, False]
    assert session.turns.guest is None


def test_without_turns_all_plans_stay(tmp_path: Path) -> None:
    session, made = _plans(tmp_path, {"transformer-5x4x6+0": FIVE, "transformer-9x4x6+0": NINE})
    Plans(made)(_inputs(FIVE))
    assert [plan.is_there for plan in made] == [True, True]
    assert session.turns.guest is None
