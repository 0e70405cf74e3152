"""The true architectures are the published ones, and the benchmark runs on their tiny kin."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel

from bench import true_size
from bench.random_checkpoint import MODELS, random_checkpoint, random_configs
from bench.random_checkpoint import main as random_checkpoint_main
from pipeline import load_model

CPU = torch.device("cpu")


@pytest.mark.parametrize(("name", "parameters"), [("ti2v-5b", 5.0e9), ("a14b", 14.3e9)])
def test_true_sizes(name: str, parameters: float) -> None:
    with init_empty_weights():
        transformer = WanTransformer3DModel(**random_configs(name).transformer)
    assert sum(p.numel() for p in transformer.parameters()) == pytest.approx(parameters, rel=0.005)


def test_the_same_seed_gives_the_same_weights() -> None:
    a, b = (
        random_checkpoint("a14b", device=CPU, dtype=torch.float32, tiny=True).transformer_2.state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", MODELS)
def test_our_side(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it on the smallest frames."""
    monkeypatch.setattr("pipeline.request.SIZES", ((48, 32),))
    arguments = [
        "--model",
        name,
        "--random-weights",
        "--tiny",
        "--size",
        "48x32",
        "--seconds",
        "2",
        "--steps",
        "2",
        "--runs",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["true_size", *arguments, "--part", "ours"])
    true_size.main()
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    for key in ("first_frame_ms", "sustained_fps", "vae_next_ms", "denoise_step_ms", "gpu_peak_bytes"):
        assert made[key] > 0
    assert set(made["roofline"]) == {"first_denoise_step", "denoise_step", "vae_first", "vae_next"}
    assert made["device"] == "CPU"


def test_a_random_checkpoint_on_disk_is_loaded_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["random_checkpoint", "--model", "ti2v-5b", "--tiny", "--out", str(tmp_path)])
    random_checkpoint_main()
    model = load_model(tmp_path, backend="torch")
    assert (model.spec.strategy, model.spec.context, model.spec.grid.scale_spatial) == ("chained", "frame", 16)
