"""Clips made in batches are the clips that the walk makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.quality.make import Batched, Walk
from engines.fp8 import Fp8Linear
from pipeline import VideoRequest, load_model
from tests import tiny

CPU = torch.device("cpu")


@pytest.fixture
def requests_of(monkeypatch: pytest.MonkeyPatch) -> list[VideoRequest]:
    monkeypatch.setattr("pipeline.request.SIZES", ((48, 32),))
    texts = (("一只红色的球", 5), ("一只(蓝色:1.5)的猫，下雨", 6), ("a green box", 7))
    return [VideoRequest(prompt=text, width=48, height=32, seconds=2, seed=seed) for text, seed in texts]


@pytest.mark.parametrize(
    ("guidance", "strength", "unweave"), [(None, 0.75, False), (3.0, 0.5, False), (None, 1.0, True)]
)
def test_batches_are_the_walk(
    tmp_path: Path, requests_of: list[VideoRequest], guidance: float | None, strength: float, unweave: bool
) -> None:
    from dataclasses import replace

    folder = tiny.save(tmp_path, streaming=tiny.STREAMING | {"unweave": unweave})
    requests = [
        replace(r, guidance_scale=guidance, denoise_strength=strength, style="Oil Painting") for r in requests_of
    ]
    walked = list(Walk(load_model(folder, backend="torch")).make(requests))
    made = list(Batched(folder, CPU, batch=2).make(requests))
    assert len(made) == len(walked) == 3
    for one, other in zip(walked, made, strict=True):
        assert one.shape == other.shape == (48, 32, 48, 3)
        assert (one.int() - other.int()).abs().max() <= 1
    assert not torch.equal(made[0], made[1])


def test_batches_can_compute_in_fp8(tiny_folder: Path, requests_of: list[VideoRequest]) -> None:
    exact, quantised = Batched(tiny_folder, CPU, batch=3), Batched(tiny_folder, CPU, batch=3, fp8_error=0.05)
    assert quantised.fp8.linears
    parts = quantised._step, quantised._text  # pyright: ignore[reportPrivateUsage]
    linears = [[module for module in part.modules() if isinstance(module, Fp8Linear)] for part in parts]
    assert all(linears)
    assert {linear.weight.dtype for some in linears for linear in some} == {torch.float8_e4m3fn}
    assert not exact.fp8.linears
    for one, other in zip(exact.make(requests_of), quantised.make(requests_of), strict=True):
        assert not torch.equal(one, other)
