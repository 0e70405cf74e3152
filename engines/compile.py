"""ONNX to a TensorRT plan: the parser and the builder by way of Polygraphy, and one optimization profile or several.

Owns what the builder is told. Always strongly typed: the precision is the graph's own. Does not know how a graph was
made or where a plan is kept.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engines.errors import EngineError
from engines.shapes import Shapes
from engines.tensorrt_library import Library

ANY = "any"  # every GPU that TensorRT-RTX runs on, those that it does not list among them

Precision = Literal["fp16", "bf16"]
Profiles = Literal["one", "each"]

Range = dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]  # least, usual, most, by input


@dataclass(frozen=True, slots=True)
class Options:
    """What is built.

    Attributes:
        target: "sm89" and the like, or `ANY`.
        precision: of transformer and VAE.
        text_precision: of text encoder and text keys and values: "fp32" where it is small, since it runs once a prompt.
        profiles: one range over all shapes, or each shape by itself (a copy of the weights each, TensorRT-RTX compiles
            for the actual shape at run time in either case).
    """

    checkpoint: Path
    shapes: Shapes
    target: str
    precision: Precision
    text_precision: Literal["fp32", "bf16"]
    profiles: Profiles = "one"

    @property
    def name(self) -> str:
        """Of the entry: what a person would tell apart; everything else is a fact in its manifest."""
        folder = re.sub(r"[^A-Za-z0-9._-]", "-", self.checkpoint.resolve().name)
        return f"tensorrt-{folder}-{self.target}-{self.precision}"


def compile_plan(options: Options, library: Library, name: str, onnx: Path, plan: Path) -> None:
    """Parse an ONNX file and write its plan.

    Raises:
        EngineError: the library refuses the graph or the target, and why.
    """
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if library.is_rtx else "0"
    from polygraphy.backend import trt as polygraphy_trt
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    trt: Any = polygraphy_trt  # its functions are made at run time
    G_LOGGER.module_severity = G_LOGGER.ERROR
    settings: dict[str, Any] = {"profiles": [_profile(trt.Profile(), p) for p in _ranges(options, name, onnx)]}
    if library.is_rtx:
        from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

        if options.target != ANY:
            settings["compute_capabilities"] = [_capability(options.target)]
        config = CreateConfigRTX(**settings)
    else:
        config = trt.CreateConfig(**settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Polygraphy sets what this TensorRT no longer needs
            network = trt.network_from_onnx_path(str(onnx), strongly_typed=True)
            serialized = trt.engine_bytes_from_network(network, config=config)
    except PolygraphyException as error:
        raise EngineError(f"{library.label}: engine {name} for {options.target}: {error}") from error
    with plan.open("wb") as file:
        file.write(memoryview(serialized))


def _profile(profile: Any, ranges: Range) -> Any:
    for name, (least, usual, most) in ranges.items():
        profile.add(name, min=least, opt=usual, max=most)
    return profile


def _ranges(options: Options, name: str, onnx: Path) -> Iterator[Range]:
    """For each profile the shapes of every input, from the names of the graph's open dimensions."""
    import onnx as onnx_package

    graph = onnx_package.load(str(onnx), load_external_data=False).graph
    inputs: dict[str, list[int | str]] = {
        i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input
    }
    cases = _cases(options, name)
    if options.profiles == "each":
        for case in cases:
            exact = {key: _shape(dims, case) for key, dims in inputs.items()}
            yield {key: (shape, shape, shape) for key, shape in exact.items()}
        return
    every = {key: [_shape(dims, case) for case in cases] for key, dims in inputs.items()}
    yield {key: (_each(min, shapes), shapes[-1], _each(max, shapes)) for key, shapes in every.items()}


def _cases(options: Options, name: str) -> list[dict[str, int]]:
    """The values of the open dimensions that are asked for; the largest block of the first size stands last."""
    if name.startswith("vae"):
        return [{"rows": h, "columns": w} for h, w in reversed(options.shapes.sizes)]
    if name != "transformer":
        return [{}]
    patch = json.loads((options.checkpoint / "transformer" / "config.json").read_text())["patch_size"][1]
    return [
        {"frames": frames, "rows": h // patch, "columns": w // patch, "context": context * (h // patch) * (w // patch)}
        for h, w in reversed(options.shapes.sizes)
        for frames, context in sorted(options.shapes.blocks)
    ]


def _shape(dims: list[int | str], case: Mapping[str, int]) -> tuple[int, ...]:
    """Open dimensions are named "rows" or, as multiples, "2*rows"."""
    shape: list[int] = []
    for dim in dims:
        if isinstance(dim, int):
            shape.append(dim)
            continue
        factor, _, symbol = dim.rpartition("*")
        shape.append(int(factor or 1) * case[symbol])
    return tuple(shape)


def _each(choose: Callable[..., int], shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(choose(column) for column in zip(*shapes, strict=True))


def _capability(target: str) -> tuple[int, int]:
    number = target.removeprefix("sm")
    return int(number[:-1]), int(number[-1])
