"""The cache of converted graphs: made once, made anew when stale or damaged, never used half-made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import cache


def _maker(calls: list[Path]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "graph.bin").write_bytes(b"x" * 1000)

    return make


def test_made_once(tmp_path: Path) -> None:
    calls: list[Path] = []
    first = cache.entry("a", _maker(calls), root=tmp_path)
    assert cache.entry("a", _maker(calls), root=tmp_path) == first
    assert len(calls) == 1
    assert (first / "graph.bin").is_file()


@pytest.mark.parametrize("damage", ["truncate", "delete", "manifest", "no manifest"])
def test_damage_is_found_and_mended(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Path] = []
    folder = cache.entry("a", _maker(calls), root=tmp_path)
    if damage == "truncate":
        (folder / "graph.bin").write_bytes(b"x" * 10)
    elif damage == "delete":
        (folder / "graph.bin").unlink()
    elif damage == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        (folder / "manifest.json").unlink()
    with caplog.at_level(logging.WARNING):
        cache.entry("a", _maker(calls), root=tmp_path)
    assert len(calls) == 2
    assert len(caplog.records) == 1
    assert (folder / "graph.bin").stat().st_size == 1000


def test_a_failed_making_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "graph.bin").write_bytes(b"half")
        raise RuntimeError("stopped half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        cache.entry("a", fail, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_key_follows_checkpoint_and_version(tiny_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "streaming.json").write_text("{}")
    keys = {
        cache.key(tiny_folder, "openvino", "1"),
        cache.key(tiny_folder, "openvino", "2"),
        cache.key(tiny_folder, "torch", "1"),
        cache.key(copy, "openvino", "1"),
    }
    assert len(keys) == 4
    assert cache.key(tiny_folder, "openvino", "1") in keys


def test_remove_takes_one_entry_and_what_is_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        cache.entry(name, _maker([]), root=tmp_path)
        (tmp_path / "kernels").mkdir(exist_ok=True)
        (tmp_path / "kernels" / f"{name}-step.bin").touch()
    cache.remove("a", root=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"b", "kernels"}
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == ["b-step.bin"]


def test_clear(tmp_path: Path) -> None:
    cache.entry("a", _maker([]), root=tmp_path / "plans")
    cache.clear(root=tmp_path / "plans")
    assert not (tmp_path / "plans").exists()
