"""The command line: a file with its settings, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from pipeline.__main__ import main
from pipeline.encode import read_settings


def test_a_clip_with_its_settings(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mp4"
    args = ["红球", "-o", str(out), "--seconds", "2", "--seed", "4", "--steps", "1", "--model", str(tiny_folder)]
    assert main([*args, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_frames"] == 48
    assert result["first_frame_ms"] > 0
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 48
    settings = json.loads(read_settings(out) or "")
    assert settings == result["request"]
    assert (settings["prompt"], settings["seed"]) == ("红球", 4)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["  "], 2, "prompt"),
        (["猫", "--seconds", "3"], 2, "seconds"),
        (["猫", "--size", "640x480"], 2, "size"),
        (["猫", "--style", "Baroque"], 2, "style"),
        (["猫", "--model", "./nowhere"], 1, "no such folder"),
        (["猫", "--backend", "cuda"], 1, "allowed: auto, "),
    ],
)
def test_mistakes(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, said: str
) -> None:
    model = [] if "--model" in args else ["--model", str(tiny_folder)]
    assert main([*args, *model, "-o", str(tmp_path / "x.mp4")]) == code
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
