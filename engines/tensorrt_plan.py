"""Plans on the GPU, whichever TensorRT made them: tensors in by name, tensors out by name.

Owns which plan of a graph takes which shapes, contexts, device addresses, the activation memory that all plans share
and the kernels compiled for this GPU. Tensors are torch's, on the GPU; nothing is copied but what is not aligned. Does
not know what a plan computes.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from engines.errors import EngineError
from engines.tensorrt_library import Library

_ALIGNMENT = 256  # bytes; what TensorRT asks of every address
_SAVE_AFTER = (1, 64)  # calls of one shape: when it is first compiled, and when it is compiled for good
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Arena:
    """Activation memory of all engines, as large as the hungriest: only one of them runs at a time."""

    device: torch.device
    memory: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Let the memory go."""
        self.memory = torch.empty(_ALIGNMENT, dtype=torch.uint8, device=self.device)

    def reserve(self, size: int) -> int:
        """An address with `size` bytes behind it; the one given before may be gone."""
        if self.memory.numel() < size:
            self.clear()  # before, so that the two are not there together
            torch.cuda.empty_cache()
            self.memory = torch.empty(size, dtype=torch.uint8, device=self.device)
        return self.memory.data_ptr()


class Guest(Protocol):
    """What takes turns on the GPU: a plan, or a network's weights."""

    def leave(self) -> None:
        """Leave the GPU, when all that was asked of it is done."""
        ...


@dataclass(slots=True)
class Turns:
    """Which guest is on the GPU.

    Attributes:
        names: of graphs that take turns with each other; where there is one name only, with every other graph.
        guest: who is there for one of them.
    """

    names: frozenset[str]
    guest: Guest | None = None

    def admit(self, graph: str, guest: Guest) -> None:
        """Before `guest` runs for `graph`: what it takes turns with leaves first."""
        if graph not in self.names and len(self.names) > 1:
            return
        if self.guest is not None and self.guest is not guest:
            self.guest.leave()
            self.guest = None
        if graph in self.names:
            self.guest = guest


class Session:
    """What the engines of one checkpoint share: library, device, stream, arena and a lock.

    Attributes:
        lock: held by whoever runs a plan, or several that belong together.
    """

    def __init__(
        self,
        library: Library,
        device: torch.device,
        *,
        cuda_graphs: bool = False,
        taking_turns: Collection[str] = (),
    ) -> None:
        """Nothing is loaded yet.

        Args:
            cuda_graphs: let TensorRT-RTX capture each shape as a CUDA graph; pays only where addresses repeat.
            taking_turns: names of graphs whose plans are on the GPU in turn, see `Turns`; the others stay.
        """
        self.turns = Turns(frozenset(taking_turns))
        self.library, self.device, self.cuda_graphs = library, device, cuda_graphs
        self.logger = library.module.Logger(library.module.Logger.WARNING)
        self.runtime = library.module.Runtime(self.logger)
        self.stream = torch.cuda.Stream(device)  # TensorRT synchronises around every run on the default stream
        self.arena = _Arena(device)
        self.scratch: dict[tuple[str, str], Tensor] = {}  # outputs that nobody wants, by graph and name
        self.lock = threading.RLock()
        self.nothing = torch.empty(_ALIGNMENT, dtype=torch.uint8, device=device)  # address of empty tensors


@dataclass(slots=True)
class _Context:
    """An execution context, and the shapes and memory that it was last given."""

    inner: Any
    shapes: tuple[tuple[int, ...], ...] = ()
    size: int = 0
    calls: dict[tuple[tuple[int, ...], ...], int] = field(default_factory=dict[tuple[tuple[int, ...], ...], int])


class Plan:
    """One plan on the GPU. Called with tensors by name; what it returns belongs to the caller.

    Args:
        graph: name of the graph that it is a plan of.
        file: from `engines.build`.
        kernels: file for what TensorRT-RTX compiles for this GPU at the first run of a shape.
        part_of: the guest that this plan works for; it stays then when the plan runs. None: itself.

    Raises:
        EngineError: the plan cannot be read by this library on this GPU.
    """

    def __init__(
        self, session: Session, graph: str, file: Path, kernels: Path, *, part_of: Guest | None = None
    ) -> None:
        self.name, self._guest = file.stem, part_of or self
        self._session, self._graph, self._file, self._kernels = session, graph, file, kernels
        self._context: _Context | None = None
        self._engine: Any = None
        self._enter()
        trt = session.library.module
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self.inputs = tuple(n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT)
        self.outputs = tuple(n for n in names if n not in self.inputs)
        self.dtypes: dict[str, torch.dtype] = {n: _torch_dtype(trt, self._engine.get_tensor_dtype(n)) for n in names}
        self._taken = {n: tuple(tuple(s) for s in self._engine.get_tensor_profile_shape(n, 0)) for n in self.inputs}

    def leave(self) -> None:
        """See `Guest`."""
        self._session.stream.synchronize()
        self._context = None
        self._config = self._kernel_cache = self._engine = None
        self._session.arena.clear()
        self._session.scratch.clear()
        torch.cuda.empty_cache()  # TensorRT's memory is beside torch's

    def _enter(self) -> None:
        """Make sure that this plan is on the GPU."""
        session = self._session
        session.turns.admit(self._graph, self._guest)
        if self._engine is not None:
            return
        with self._file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            self._engine = session.runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise EngineError(f"{session.library.label} cannot read the engine {self.name} on this GPU")
        self._config, self._kernel_cache = self._runtime_config()

    def misfits(self, inputs: Mapping[str, Tensor]) -> list[str]:
        """What it does not take, a line for each input that is missing or has another shape; [] where it takes all."""
        found: list[str] = []
        for name, taken in self._taken.items():
            if name not in inputs:
                found.append(f"{self.name}: {name}: missing; given: {', '.join(inputs)}")
            elif not _fits(inputs[name].shape, *taken):
                given = _text(inputs[name].shape)
                found.append(f"{self.name}: {name}: expected {_range(*taken)}, given {given}")
        return found

    def __call__(self, inputs: Mapping[str, Tensor], *, drop: Sequence[str] = ()) -> dict[str, Tensor]:
        """Run.

        Args:
            inputs: every input by name, without `misfits`; floats of another type are converted.
            drop: outputs that nobody wants; they are written to memory that every run writes over.

        Returns:
            the outputs by name, but for those dropped.

        Raises:
            EngineError: a shape is refused, or the run failed.
        """
        with self._session.lock, torch.cuda.device(self._session.device), torch.inference_mode():
            self._enter()
            ready = {name: self._prepared(name, inputs[name]) for name in self.inputs}
            context = self._context_for(ready)
            inner = context.inner
            made: dict[str, Tensor] = {}
            for name in self.outputs:
                made[name] = self._output(name, tuple(inner.get_tensor_shape(name)), drop)
            for name, tensor in (ready | made).items():
                address = tensor.data_ptr() if tensor.numel() else self._session.nothing.data_ptr()
                if not inner.set_tensor_address(name, address):
                    raise EngineError(f"{self.name}: {name}: address refused, shape {_text(tensor.shape)}")
            inner.set_device_memory(self._session.arena.reserve(context.size), context.size)
            stream, current = self._session.stream, torch.cuda.current_stream()
            stream.wait_stream(current)
            if not inner.execute_async_v3(stream.cuda_stream):
                raise EngineError(f"{self.name}: the run failed ({self._session.library.label})")
            # What the caller frees or writes next is in order behind this run, without waiting here.
            current.wait_stream(stream)
            self._count(context)
        return {name: tensor for name, tensor in made.items() if name not in drop}

    def _prepared(self, name: str, given: Tensor) -> Tensor:
        tensor = given.to(self._session.device, self.dtypes[name]).contiguous()
        return tensor if tensor.data_ptr() % _ALIGNMENT == 0 else tensor.clone()

    def _output(self, name: str, shape: tuple[int, ...], drop: Sequence[str]) -> Tensor:
        dtype = self.dtypes[name]
        if name not in drop:
            return torch.empty(shape, dtype=dtype, device=self._session.device)
        scratch, key, numel = self._session.scratch, (self._graph, name), torch.Size(shape).numel()
        if key not in scratch or scratch[key].numel() < numel:
            scratch[key] = torch.empty(numel, dtype=dtype, device=self._session.device)
        return scratch[key]

    def _context_for(self, ready: Mapping[str, Tensor]) -> _Context:
        """The context, with these shapes set."""
        shapes = tuple(tuple(ready[name].shape) for name in self.inputs)
        if self._context is None:
            self._context = _Context(self._new_context())
        context = self._context
        if context.shapes != shapes:
            for name, shape in zip(self.inputs, shapes, strict=True):
                if not context.inner.set_input_shape(name, shape):
                    raise EngineError(f"{self.name}: {name}: shape {_text(shape)} refused")
            context.size = int(context.inner.update_device_memory_size_for_shapes())
            context.shapes = shapes
        return context

    def _new_context(self) -> Any:
        inner = self._engine.create_execution_context(self._config)
        if inner is None:
            raise EngineError(f"{self.name}: no execution context ({self._session.library.label})")
        if not inner.set_optimization_profile_async(0, self._session.stream.cuda_stream):
            raise EngineError(f"{self.name}: profile refused")
        return inner

    def _runtime_config(self) -> tuple[Any, Any]:
        """How contexts are made: activation memory is ours, compiled kernels are kept on disk."""
        trt = self._session.library.module
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not self._session.library.is_rtx:
            return strategy, None
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        if self._session.cuda_graphs:
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        cache = config.create_runtime_cache()
        if self._kernels.is_file() and not cache.deserialize(self._kernels.read_bytes()):
            _LOG.warning("%s: kernels of another GPU, driver or version; compiled anew", self.name)
        config.set_runtime_cache(cache)
        return config, cache

    def _count(self, context: _Context) -> None:
        calls = context.calls[context.shapes] = context.calls.get(context.shapes, 0) + 1
        if self._kernel_cache is None or calls not in _SAVE_AFTER:
            return
        self._session.stream.synchronize()
        self._kernels.parent.mkdir(parents=True, exist_ok=True)
        part = self._kernels.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(memoryview(self._kernel_cache.serialize()))
        part.replace(self._kernels)


class Plans:
    """The plans of one graph, each for other shapes. A call goes to the one that takes its shapes.

    Args:
        plans: at least one.

    Attributes:
        dtypes: of inputs and outputs by name, the same in all plans.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = tuple(plans)
        self.dtypes = self._plans[0].dtypes

    def __call__(self, inputs: Mapping[str, Tensor], *, drop: Sequence[str] = ()) -> dict[str, Tensor]:
        """Run, see `Plan`.

        Raises:
            EngineError: no plan takes these shapes, with what the nearest one expects; or the run failed.
        """
        nearest: list[str] = []
        for plan in self._plans:
            misfits = plan.misfits(inputs)
            if not misfits:
                return plan(inputs, drop=drop)
            nearest = min(nearest or misfits, misfits, key=len)
        raise EngineError(nearest[0])


def _torch_dtype(trt: Any, dtype: Any) -> torch.dtype:
    known = {
        trt.DataType.FLOAT: torch.float32,
        trt.DataType.HALF: torch.float16,
        trt.DataType.BF16: torch.bfloat16,
        trt.DataType.INT64: torch.int64,
        trt.DataType.INT32: torch.int32,
        trt.DataType.UINT8: torch.uint8,
        trt.DataType.BOOL: torch.bool,
    }
    return known[dtype]


def _fits(shape: Sequence[int], least: tuple[int, ...], _: tuple[int, ...], most: tuple[int, ...]) -> bool:
    return len(shape) == len(least) and all(a <= n <= b for a, n, b in zip(least, shape, most, strict=True))


def _range(least: tuple[int, ...], _: tuple[int, ...], most: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(a) if a == b else f"{a}…{b}" for a, b in zip(least, most, strict=True)) + "]"


def _text(shape: Sequence[int]) -> str:
    return str(list(shape))
