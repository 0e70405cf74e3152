"""ONNX to a TensorRT plan: the parser and the builder by way of Polygraphy, one optimization profile each.

Owns what the builder is told, which plans a graph has and what their files are called. Always strongly typed: the
precision is the graph's own. Does not know how a graph was made or where a plan is kept.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engines.errors import EngineError
from engines.layer_parts import LAYER_PARTS
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
        precision: of the transformer.
        text_precision: of text encoder and text keys and values: "fp32" where it is small, since it runs once a prompt.
        profiles: one plan for all shapes, or each shape by a plan of its own, which is faster for a large model and
            has its own copy of the weights.
        fp8_error: see `engines.export.graph`.
        layered: plans of a layer's parts instead of one of the whole transformer: none has a copy of the weights, and
            self-attention is PyTorch's.
    """

    checkpoint: Path
    shapes: Shapes
    target: str
    precision: Precision
    text_precision: Literal["fp32", "bf16"]
    profiles: Profiles = "one"
    fp8_error: float | None = None
    layered: bool = False

    @property
    def graphs(self) -> tuple[str, ...]:
        """What there are plans of, in the order in which they are built."""
        transformer = LAYER_PARTS if self.layered else ("text_keys_values", "transformer")
        return ("text_encoder", *transformer, "vae_first", "vae_next")

    @property
    def name(self) -> str:
        """Of the entry: what a person would tell apart; everything else is a fact in its manifest."""
        folder = re.sub(r"[^A-Za-z0-9._-]", "-", self.checkpoint.resolve().name)
        # The sizes are not at the end: no name is the beginning of another, whose files would be removed with its own.
        sizes = "".join(f"-{width}x{height}" for width, height in self.shapes.frame_sizes)
        static = f"-static{sizes}" if self.profiles == "each" else ""
        fp8 = "-fp8" if self.fp8_error is not None else ""
        return f"tensorrt-{folder}-{self.target}{static}{fp8}-{self.precision}"


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """One plan of a graph.

    Attributes:
        name: of its file, without ".plan"; the graph's where there is no other plan of it.
        cases: the values of the open dimensions that it takes, at least one; it is tuned for the last of them.
    """

    name: str
    cases: tuple[Mapping[str, int], ...]


def plan_specs(options: Options, graph: str) -> tuple[PlanSpec, ...]:
    """The plans of a graph: one for each of its shapes, or one for all; without open dimensions there is one anyway."""
    cases = _cases(options, graph)
    if options.profiles == "one" or "" in cases:
        return (PlanSpec(graph, tuple(cases.values())),)
    return tuple(PlanSpec(f"{graph}-{label}", (case,)) for label, case in cases.items())


def plan_files(folder: Path, graph: str) -> tuple[Path, ...]:
    """The files of a graph's plans, as `plan_specs` calls them, in a folder."""
    return tuple(sorted(path for path in folder.glob("*.plan") if path.stem.partition("-")[0] == graph))


def compile_plan(options: Options, library: Library, spec: PlanSpec, onnx: Path, plan: Path) -> None:
    """Parse an ONNX file and write one of its plans.

    Raises:
        EngineError: the library refuses the graph or the target, and why.
    """
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if library.is_rtx else "0"
    from polygraphy.backend import trt as polygraphy_trt
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    trt: Any = polygraphy_trt  # its functions are made at run time
    G_LOGGER.module_severity = G_LOGGER.ERROR
    settings: dict[str, Any] = {"profiles": [_profile(trt.Profile(), _ranges(spec, onnx))]}
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
        raise EngineError(f"{library.label}: engine {spec.name} for {options.target}: {error}") from error
    with plan.open("wb") as file:
        file.write(memoryview(serialized))


def _profile(profile: Any, ranges: Range) -> Any:
    for name, (least, usual, most) in ranges.items():
        profile.add(name, min=least, opt=usual, max=most)
    return profile


def _ranges(spec: PlanSpec, onnx: Path) -> Range:
    """What every input may be, from the names of the graph's open dimensions: for one case one shape."""
    import onnx as onnx_package

    graph = onnx_package.load(str(onnx), load_external_data=False).graph
    inputs: dict[str, list[int | str]] = {
        i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input
    }
    every = {key: [_shape(dims, case) for case in spec.cases] for key, dims in inputs.items()}
    return {key: (_each(min, shapes), shapes[-1], _each(max, shapes)) for key, shapes in every.items()}


def _cases(options: Options, graph: str) -> dict[str, dict[str, int]]:
    """The values of the open dimensions that are asked for; the largest block of the first size stands last.

    Returns:
        by a label in latents, "44x80" or, with a block's latents before and those of its context behind, "5x44x80+0",
        or "5x44x80" where context does not matter; "" where no dimension is open.
    """
    sizes = reversed(dict.fromkeys(options.shapes.sizes))  # two sizes in pixels may be one in latents
    if graph.startswith("vae"):
        return {f"{h}x{w}": {"rows": h, "columns": w} for h, w in sizes}
    if graph in ("text_encoder", "text_keys_values"):
        return {"": {}}
    patch = json.loads((options.checkpoint / "transformer" / "config.json").read_text())["patch_size"][1]
    if graph in LAYER_PARTS:
        lengths = sorted({frames for frames, _ in options.shapes.blocks})
        places = {f"{h}x{w}": (h // patch) * (w // patch) for h, w in sizes}
        return {
            f"{frames}x{size}": {"frames": frames, "tokens": tokens}
            for size, tokens in places.items()
            for frames in lengths
        }
    return {
        f"{frames}x{h}x{w}+{context}": {
            "frames": frames,
            "rows": h // patch,
            "columns": w // patch,
            "context": context * (h // patch) * (w // patch),
        }
        for h, w in sizes
        for frames, context in sorted(options.shapes.blocks)
    }


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
