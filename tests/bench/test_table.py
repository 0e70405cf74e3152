"""The README tells the figures that are in bench/results, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import table


def test_the_readme_is_what_the_results_say() -> None:
    readme = table.README.read_text(encoding="utf-8")
    assert table.fill(readme) == readme, "python -m bench.table"


def test_a_result_becomes_its_rows_and_a_missing_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    assert len(table.table().splitlines()) == 2
    told = {
        "interactive_ms": 640.0,
        "longest_task_ms": 61,
        "own_script_sent_bytes": 24_310,
        "settings": {"size": "1280×720"},
        "hardware": {"cpu": "AMD EPYC", "cores": 2},
    }
    (tmp_path / "page_cpu.json").write_text(json.dumps(told), encoding="utf-8")
    lines = table.table().splitlines()[2:]
    assert len(lines) == 3
    assert "| **0.64 s** | `bench.page` | AMD EPYC × 2 |" in lines[0]
    assert "**61 ms**" in lines[1]
    assert "**24.3 kB**" in lines[2]
    on_gpu = {
        "first_frame_ms": 775.35,
        "sustained_fps": 18.02,
        "speedup_vs_diffusers": 1.852,
        "gpu_peak_bytes": 22_400_000_000,
        "diffusers": {"gpu_peak_bytes": 39_230_000_000},
        "hardware": {"cpu": "Intel", "cores": 32, "gpus": ["NVIDIA H100", "NVIDIA H100"]},
    }
    (tmp_path / "true_size_longlive-5b.json").write_text(json.dumps(on_gpu), encoding="utf-8")
    lines = table.table().splitlines()[5:]
    assert [line.split("**")[1] for line in lines] == ["0.78 s", "18.0 fps", "1.85×", "22.40 GB / 39.23 GB"]
    assert all(line.endswith("| NVIDIA H100 |") for line in lines)


@pytest.mark.parametrize("readme", ["no markers", table.BEGIN, f"{table.END} {table.BEGIN}"])
def test_without_its_markers_nothing_is_filled(readme: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        table.fill(readme)
