"""The precision on a CPU is measured once, kept, and float32 where bfloat16 does not pay."""

from __future__ import annotations

from pathlib import Path

import openvino as ov
import pytest

from engines import openvino_precision
from engines.openvino_precision import choose, faster_precision


class Cpu:
    """A core that lists some capabilities."""

    def __init__(self, *capabilities: str) -> None:
        self._told = {"OPTIMIZATION_CAPABILITIES": list(capabilities), "FULL_DEVICE_NAME": "A CPU"}

    def get_property(self, _: str, name: str) -> object:
        return self._told[name]


@pytest.mark.parametrize(("bf16_ms", "f32_ms", "expected"), [(5, 10, "bf16"), (15, 10, "f32"), (10, 10.5, "f32")])
def test_bfloat16_has_to_pay(bf16_ms: float, f32_ms: float, expected: str) -> None:
    assert choose(bf16_ms, f32_ms) == expected


def test_a_cpu_without_bfloat16_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(openvino_precision, "_time_ms")
    assert faster_precision(Cpu("FP32", "INT8"), root=tmp_path) == "f32"  # type: ignore[arg-type]


def test_it_is_measured_once_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def time_ms(_: ov.Core, precision: str) -> float:
        asked.append(precision)
        return {"bf16": 4.0, "f32": 10.0}[precision]

    monkeypatch.setattr(openvino_precision, "_time_ms", time_ms)
    cpu: ov.Core = Cpu("FP32", "BF16")  # type: ignore[assignment]
    assert [faster_precision(cpu, root=tmp_path) for _ in range(3)] == ["bf16"] * 3
    assert sorted(asked) == ["bf16", "f32"]


def test_the_real_cpu_gives_one_of_the_two(tmp_path: Path) -> None:
    assert faster_precision(ov.Core(), root=tmp_path) in ("bf16", "f32")
