"""Tensors in, tensors out. The only place where a backend is chosen: below it nothing asks which one it is.

Nothing heavy is imported until engines are asked for, so that `engines.errors` costs nothing.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from engines.errors import EngineError

if TYPE_CHECKING:
    from engines.base import Engines
    from engines.checkpoint import Checkpoint
    from engines.compile import Precision, Profiles

BACKENDS: tuple[str, ...] = ("auto", "tensorrt", "tensorrt-fp8", "torch", "compiled", "fp8", "openvino")
FP8_ERROR = 0.04
"""Largest relative error of the velocity that FP8 may make in backends of that name; all of a 5B in FP8 makes less."""
_LOG = logging.getLogger(__name__)


def load_engines(
    checkpoint: Checkpoint,
    backend: str = "auto",
    *,
    stop: Callable[[], bool] = lambda: False,
    frame_sizes: tuple[tuple[int, int], ...] | None = None,
) -> Engines:
    """Make the engines of a checkpoint. TensorRT plans that are not there yet are built first, in a process beside.

    Args:
        checkpoint: from `engines.checkpoint.read_checkpoint`.
        backend: one of `BACKENDS`; "auto" takes TensorRT on a GPU that it supports, else PyTorch on a GPU, else
            OpenVINO, else PyTorch on the CPU; the engines say why TensorRT was passed over. One that fails is
            passed over for the next, and the engines say so. "tensorrt-fp8" has some linears in FP8, on GPUs that
            multiply in it. "compiled" and "fp8" are PyTorch on a GPU as `engines.tuning` has it: minutes at the start
            for a faster large model.
        stop: asked while engines are built; True ends that, and it counts as failed.
        frame_sizes: width and height that TensorRT takes, and no others, by a faster plan for each shape; None: by one
            plan every size that is offered. The other backends take every size in any case.

    Raises:
        EngineError: the backend is unknown or cannot run here.
    """
    import torch

    from engines import fp8_attention, torch_engine
    from engines.gpu import Reason, find_gpu, why_no_tensorrt
    from engines.tuning import TUNINGS

    if backend not in BACKENDS:
        raise EngineError(f"backend {backend!r}; allowed: {', '.join(BACKENDS)}")
    has_cuda, has_openvino = torch.cuda.is_available(), importlib.util.find_spec("openvino") is not None
    failed: Reason | None = None
    reason = why_no_tensorrt(find_gpu())
    if reason is None and not has_cuda:
        reason = Reason("this PyTorch sees no GPU", "此 PyTorch 未检测到 GPU")
    is_tensorrt = backend.startswith("tensorrt")
    if is_tensorrt and reason is not None:
        raise EngineError(f"backend {backend!r}: {reason.en}")
    if backend.endswith("fp8") and has_cuda:
        _require_fp8(backend)
    if is_tensorrt or (backend == "auto" and reason is None):
        try:
            profiles, fp8_error = "one" if frame_sizes is None else "each", FP8_ERROR if "fp8" in backend else None
            return load_tensorrt(checkpoint, stop=stop, profiles=profiles, frame_sizes=frame_sizes, fp8_error=fp8_error)
        except EngineError as error:
            if is_tensorrt:
                raise
            _LOG.warning("TensorRT is passed over: %s", error)
            reason = failed = Reason(str(error), f"TensorRT 引擎不可用：{error}")
    if backend == "openvino" or (backend == "auto" and has_openvino and not has_cuda):
        if not has_openvino:
            raise EngineError("backend 'openvino': the package openvino is not installed (pip install openvino)")
        from engines import openvino_engine

        try:
            engines = openvino_engine.load(checkpoint, stop)
            return dataclasses.replace(engines, no_tensorrt=reason, passed_over=failed)
        except EngineError as error:
            if backend == "openvino":
                raise
            _LOG.warning("OpenVINO is passed over: %s", error)
            failed = Reason(str(error), f"OpenVINO 引擎不可用：{error}")
    if backend in TUNINGS and not has_cuda:
        raise EngineError(f"backend {backend!r} needs a GPU that PyTorch sees; without one: 'auto'")
    device = torch.device("cuda" if has_cuda else "cpu")
    tuning = TUNINGS.get(backend)
    if backend == "fp8":
        tuning = dataclasses.replace(TUNINGS["fp8"], fp8_attention=fp8_attention.find())
    engines = torch_engine.load(checkpoint, device=device, tuning=tuning)
    return dataclasses.replace(engines, no_tensorrt=reason, passed_over=failed)


def _require_fp8(backend: str) -> None:
    import torch

    from engines.tuning import FP8_CAPABILITY

    if (capability := torch.cuda.get_device_capability()) < FP8_CAPABILITY:
        has, needs = (".".join(map(str, version)) for version in (capability, FP8_CAPABILITY))
        other = {"fp8": "compiled", "tensorrt-fp8": "tensorrt"}[backend]
        raise EngineError(
            f"backend {backend!r} needs compute capability {needs}, this GPU has {has}; allowed: {other!r}"
        )


def load_tensorrt(
    checkpoint: Checkpoint,
    *,
    stop: Callable[[], bool] = lambda: False,
    precision: Precision | None = None,
    profiles: Profiles = "one",
    frame_sizes: tuple[tuple[int, int], ...] | None = None,
    taking_turns: Collection[str] | None = None,
    fp8_error: float | None = None,
    rebuild: bool = False,
) -> Engines:
    """TensorRT's engines, as `load_engines` makes them where nothing else is given.

    Args:
        stop: see `load_engines`.
        precision: of transformer and VAE, see `engines.build.options_for`.
        profiles: see `engines.compile.Options`.
        frame_sizes: width and height that plans are made for; None for those that are offered. Other sizes have an
            entry of their own in the cache where `profiles` is "each", and replace the one that is there with "one".
        taking_turns: see `engines.tensorrt_engine.load`.
        fp8_error: see `engines.export.graph`.
        rebuild: delete the plans first.

    Raises:
        EngineError: it cannot run here.
    """
    from engines import build, cache, tensorrt_engine
    from engines.gpu import find_gpu
    from engines.shapes import read_shapes
    from engines.tensorrt_library import library_for

    if checkpoint.transformer_2 is not None:
        raise EngineError("backend 'tensorrt' runs one transformer; this checkpoint has two: use 'torch'")
    gpu = find_gpu()
    if gpu is None:
        raise EngineError("backend 'tensorrt': no NVIDIA GPU here")
    library = library_for(gpu)
    shapes = None if frame_sizes is None else read_shapes(checkpoint.folder, frame_sizes=frame_sizes)
    options = build.options_for(
        checkpoint.folder,
        build.local_target(gpu, library),
        precision=precision,
        profiles=profiles,
        shapes=shapes,
        fp8_error=fp8_error,
    )
    if rebuild:
        cache.remove(options.name)
    try:
        plans = build.build_in_child(options, library, stop=stop)
    except OSError as error:
        raise EngineError(f"the engines cannot be kept on disk: {error}") from error
    label = options.precision if fp8_error is None else f"{options.precision} · fp8"
    return tensorrt_engine.load(checkpoint, plans, library, precision=label, taking_turns=taking_turns)
