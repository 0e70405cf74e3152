"""Converted graphs on disk, so that only the first start converts. A stale or damaged one is never used.

Owns the folders, their manifests and how far a making is. A manifest holds the facts that an entry was made from and
the hash of every file, and is written last; an entry takes its name when it is whole, and what a killed process left
is swept up. Does not know what a graph is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

PLANS = Path(__file__).resolve().parent / "plans"
_MANIFEST = "manifest.json"
_PERCENT = "percent"
_MAKING = ".making-"
_LOG = logging.getLogger(__name__)


def key(checkpoint: Path, backend: str, version: str) -> str:
    """A folder name for what this backend, in this version, makes of this checkpoint."""
    digest = hashlib.sha256(version.encode())
    digest.update(source_hash().encode())
    digest.update(checkpoint_hash(checkpoint).encode())
    return f"{backend}-{digest.hexdigest()[:24]}"


def checkpoint_hash(checkpoint: Path) -> str:
    """One hash of all configurations and weights."""
    return _hash_all(p for p in checkpoint.rglob("*") if p.suffix in {".json", ".safetensors"})


def source_hash(*modules: str) -> str:
    """One hash of these modules of this package, or of all."""
    here = Path(__file__).resolve().parent
    return _hash_all([here / f"{name}.py" for name in modules] or here.glob("*.py"))


def entry(
    name: str, make: Callable[[Path], None], *, facts: Mapping[str, str] | None = None, root: Path = PLANS
) -> Path:
    """The folder `root/name`, made by `make(folder)` where it is not there whole and of these facts.

    Args:
        make: fills an empty folder; the folder takes its name only when it has returned. May call `report`.
        facts: what the entry is made from, for its manifest.

    Raises:
        OSError: the cache cannot be written.
    """
    folder = root / name
    fault = find_fault(name, facts, root=root)
    if fault is None:
        return folder
    if folder.exists():
        _LOG.warning("engine cache %s: %s; made anew", name, fault)
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    with tempfile.TemporaryDirectory(dir=root, prefix=f"{_MAKING}{os.getpid()}-") as temporary:
        making = Path(temporary) / name
        making.mkdir()
        make(making)
        paths = [path for path in sorted(making.rglob("*")) if path.is_file()]
        hashes = {str(p.relative_to(making)): found for p, found in zip(paths, _hashes(paths), strict=True)}
        (making / _MANIFEST).write_text(json.dumps({"facts": dict(facts or {}), "files": hashes}, indent=1))
        if find_fault(name, facts, root=root) is None:
            return folder  # another process was faster
        shutil.rmtree(folder, ignore_errors=True)
        making.rename(folder)
    return folder


def find_fault(name: str, facts: Mapping[str, str] | None = None, *, root: Path = PLANS) -> str | None:
    """Why the entry cannot be used, in one line; None where it can."""
    folder = root / name
    if not folder.is_dir():
        return "not there"
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        found, hashes = dict(manifest["facts"]), dict(manifest["files"])
    except FileNotFoundError:
        return "incomplete"
    except (ValueError, KeyError, TypeError):
        return "damaged manifest"
    for fact, expected in (facts or {}).items():
        if found.get(fact) != expected:
            return f"stale: {fact} was {_short(found.get(fact))}, is {_short(expected)}"
    there = {file: folder / file for file in hashes if (folder / file).is_file()}
    made = dict(zip(there, _hashes(there.values()), strict=True))
    damaged = next((file for file, expected in hashes.items() if made.get(file) != expected), None)
    return None if damaged is None else f"damaged file {damaged}"


def report(folder: Path, percent: int) -> None:
    """Say how far the making of `folder` is, for `making_percent` in any process."""
    (folder.parent / _PERCENT).write_text(str(percent))


def making_percent(*, root: Path = PLANS) -> int | None:
    """How far the making that runs now is, 0 … 100, in whichever process; None where nothing is being made."""
    for folder in root.glob(f"{_MAKING}*"):
        if _is_alive(folder):
            try:
                return int((folder / _PERCENT).read_text())
            except (OSError, ValueError):
                return 0
    return None


def clear(*, root: Path = PLANS) -> None:
    """Delete every entry: the next start makes them anew."""
    shutil.rmtree(root, ignore_errors=True)


def remove(name: str, *, root: Path = PLANS) -> None:
    """Delete one entry, and the files beside it that were kept under its name."""
    shutil.rmtree(root / name, ignore_errors=True)
    for path in root.glob(f"*/{name}-*"):
        path.unlink()


def _sweep(root: Path) -> None:
    """Delete what processes left that were killed while making."""
    for folder in root.glob(f"{_MAKING}*"):
        if not _is_alive(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(making: Path) -> bool:
    owner = making.name.removeprefix(_MAKING).partition("-")[0]
    try:  # a process younger than the folder only has its number
        return psutil.Process(int(owner)).create_time() <= making.stat().st_ctime + 1.0
    except (ValueError, OSError, psutil.NoSuchProcess):
        return False


def _short(fact: str | None) -> str:
    return "unknown" if fact is None else fact if len(fact) <= 40 else f"{fact[:12]}…"


def _hash_all(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    paths = sorted(paths)
    for path, found in zip(paths, _hashes(paths), strict=True):
        digest.update(path.name.encode())
        digest.update(found.encode())
    return digest.hexdigest()


def _hashes(paths: Iterable[Path]) -> list[str]:
    """Of each file; at the same time, because those of a large model have many gigabytes."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_hash, paths))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
