"""Which arithmetic is faster on this CPU: bfloat16 or float32. Measured once a machine and kept beside the graphs.

Owns the measurement and the decision. A CPU that lists bfloat16 need not gain from it: with AVX-512 BF16 alone some
lose a third, with AMX they win threefold. Kept, because a decision made anew at every start could fall otherwise when
the machine is busy, and the same seed must give the same video. Does not know a model.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from engines import cache

MIN_GAIN = 1.15
"""bfloat16 costs accuracy, so it has to be this much faster."""
_TOKENS, _DIM, _HIDDEN, _LAYERS, _RUNS = 1008, 256, 1024, 4, 12
_FILE = "precision"


def faster_precision(core: ov.Core, *, root: Path = cache.PLANS) -> str:
    """OpenVINO's name of the precision to compute in: "bf16" or "f32".

    Raises:
        OSError: the cache cannot be written.
    """
    capabilities: Any = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in capabilities:
        return "f32"
    machine = f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} {sorted(capabilities)} {ov.__version__}"
    name = f"cpu-{hashlib.sha256(machine.encode()).hexdigest()[:24]}"
    folder = cache.entry(name, lambda making: _measure_into(core, making / _FILE), facts={"cpu": machine}, root=root)
    return (folder / _FILE).read_text()


def choose(bf16_ms: float, f32_ms: float) -> str:
    """The precision to use, from the time that the same work took in each."""
    return "bf16" if f32_ms / bf16_ms >= MIN_GAIN else "f32"


def _measure_into(core: ov.Core, file: Path) -> None:
    file.write_text(choose(_time_ms(core, "bf16"), _time_ms(core, "f32")))


def _time_ms(core: ov.Core, precision: str) -> float:
    """The fastest of some runs through matrices of a small transformer's size."""
    numbers = np.random.default_rng(0)
    tokens = ops.parameter([_TOKENS, _DIM], ov.Type.f32)
    x: Any = tokens
    for layer in range(_LAYERS):
        shape = (_DIM, _HIDDEN) if layer % 2 == 0 else (_HIDDEN, _DIM)
        weights = ops.constant(numbers.standard_normal(shape, dtype=np.float32) / shape[0] ** 0.5)
        x = ops.relu(ops.matmul(x, weights, transpose_a=False, transpose_b=False))
    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    model = ov.Model([x], [tokens])  # pyright: ignore[reportGeneralTypeIssues]
    request = core.compile_model(model, "CPU", options).create_infer_request()
    data = numbers.standard_normal((_TOKENS, _DIM), dtype=np.float32)
    times_ms: list[float] = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        request.infer([data])
        times_ms.append(1000 * (time.perf_counter() - start))
    return min(times_ms)
