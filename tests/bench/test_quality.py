"""`python -m bench.quality` from its command line to its file, on a tiny checkpoint and a tiny judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench.judges.labels import HEADS
from bench.judges.network import Judge, save_judge
from bench.quality import __main__ as command
from bench.quality import effects
from bench.quality.effects import WEIGHT_CASES
from bench.quality.prompts import load_prompts
from styles import parse_weights
from training.attributes import STYLES

SIZE = (64, 36)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.request.SIZES", (SIZE,))
    monkeypatch.setattr(command, "PSNR_SIZES", (SIZE,))


@pytest.fixture
def judge_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_judge(Judge((8, 8, 8, 8)), tmp_path / "judge.safetensors")
    return tmp_path / "judge.safetensors"


def run(tmp_path: Path, folder: Path, judge: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    common = ("--model", str(folder), "--judge", str(judge), "--cache", str(tmp_path / "cache"))
    command.main([*common, "--sheets", str(tmp_path / "sheets"), "--size", "64x36", *more])
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_all_of_it(
    tmp_path: Path,
    tiny_folder: Path,
    judge_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.report.RESULTS", tmp_path / "results")
    for name in ("bench.quality.effects.STYLES", "bench.quality.truth.STYLES", "bench.quality.__main__.STYLES"):
        monkeypatch.setattr(name, STYLES[-1:])
    monkeypatch.setattr(command, "EXAMPLES", command.EXAMPLES[:1])
    monkeypatch.setattr(effects, "WEIGHTS", (0.5, 1.5))
    monkeypatch.setattr(effects, "STRENGTHS", (0.5, 0.9))
    monkeypatch.setattr(effects, "SCALES", (3.0,))
    monkeypatch.setattr(effects, "STEPS", (1,))
    arguments = [
        "--limit",
        "2",
        "--long",
        "1",
        "--ceilings",
        "1",
        "--effects",
        "1",
        "--batch",
        "2",
        "--save",
        "quality",
    ]
    found = run(tmp_path, tiny_folder, judge_file, capsys, *arguments)
    assert json.loads((tmp_path / "results" / "quality.json").read_text()) == found
    assert found["num_prompts"] == 2
    for name in ("scores", "last_second", "first_second", "free_wording", "grammar"):
        assert found[name].keys() == HEADS.keys()
        assert found[name]["subject"].keys() == {"value", "ceiling", "floor", "n"}
    assert found["scores"]["subject"]["n"] == 2
    assert found["free_wording"]["subject"]["n"] == found["grammar"]["subject"]["n"] == 1
    assert found["seam_ratio"] > 0
    assert found["flicker"].keys() == found["sharpness"].keys() == {"value", "ceiling"}
    for name in ("vae_psnr_db", "style_fidelity", "style_subject"):
        assert found[name].keys() == set(STYLES[-1:])
    assert found["vae_psnr_db"]["Paper Cut"].keys() == {"64x36"}
    assert found["seed"]["same_seed_same_clip"]
    assert found["seed"]["other_seed_difference"] > 0
    assert found["denoise_strength"].keys() == {"0.5", "0.9", "monotonic"}
    assert len(found["prompt_weights"]["cases"]) == 1
    assert [row["text"] for row in found["runs"]] == [prompt.text for prompt in load_prompts(2)]
    with Image.open(tmp_path / "sheets" / "prompts-0.jpg") as sheet:
        assert sheet.size == (4 * 192, 2 * 126)
    with Image.open(tmp_path / "sheets" / "examples.jpg") as grid:
        assert grid.size == (192, 18 + 126)


def test_a_second_run_makes_nothing_again(
    tmp_path: Path, tiny_folder: Path, judge_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--long", "0", "--batch", "0", "--backend", "torch", "--only", "scores,ceilings", "--ceilings", "1")
    first = run(tmp_path, tiny_folder, judge_file, capsys, "--limit", "1", *only)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.*")}
    assert len(kept) == 3  # a reading and a strip of the clip, a reading of its scene
    second = run(tmp_path, tiny_folder, judge_file, capsys, "--limit", "2", *only)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert second["runs"][0] == first["runs"][0]
    assert len(second["runs"]) == 2
    seeds = run(tmp_path, tiny_folder, judge_file, capsys, "--limit", "2", "--seeds", "2", *only)
    assert (seeds["num_prompts"], seeds["num_seeds"], seeds["scores"]["subject"]["n"]) == (2, 2, 4)
    assert seeds["runs"][:2] == second["runs"]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 5  # four clips, one scene


def test_readings_of_another_machine(
    tmp_path: Path, tiny_folder: Path, judge_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = ("--long", "0", "--batch", "0", "--backend", "torch", "--only", "scores")
    here = run(tmp_path, tiny_folder, judge_file, capsys, "--limit", "1", *only)
    name = str(here["backend"])
    again = run(tmp_path, tiny_folder, judge_file, capsys, "--limit", "1", *only, "--readings", name)
    assert (again["scores"], again["backend"]) == (here["scores"], name)
    with pytest.raises(FileNotFoundError, match="1 readings"):
        run(tmp_path, tiny_folder, judge_file, capsys, "--limit", "2", *only, "--readings", name)


def test_only_wide_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--size", "576x1024"], ["--only", "all"]):
        with pytest.raises(SystemExit):
            command.main(wrong)
    said = capsys.readouterr().err
    assert "16:9" in said
    assert "one of scores" in said


def test_no_clip_of_a_prompt_is_none_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--seeds", "0"])
    assert "--seeds: 0; at least 1" in capsys.readouterr().err


def test_weight_cases_are_prompts_about_one_class() -> None:
    for case in WEIGHT_CASES:
        assert case.value in HEADS[case.head]
        weights = {run.text.strip(): run.weight for run in parse_weights(case.prompt(1.5))}
        assert weights[case.word] == 1.5
    assert len(WEIGHT_CASES) >= 30


def test_growth() -> None:
    assert effects.grows([0.0, 0.5, 0.5, 2.0])
    assert effects.grows([1.0, 1.0 - 0.5 * effects.TOLERANCE, 3.0])
    assert not effects.grows([0.0, 1.0, 0.9])
