"""Converted graphs on disk, so that only the first start converts. A stale or damaged one is never used.

Owns the folder, its key and its manifest. A key covers what an entry was made from: the checkpoint's files, the backend
and its version, and the source of this package; a manifest holds the hash of every file, written last. Does not know
what a graph is.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

PLANS = Path(__file__).resolve().parent / "plans"
_MANIFEST = "manifest.json"
_LOG = logging.getLogger(__name__)


def key(checkpoint: Path, backend: str, version: str) -> str:
    """A folder name for what this backend, in this version, makes of this checkpoint."""
    digest = hashlib.sha256(version.encode())
    sources = sorted(Path(__file__).resolve().parent.glob("*.py"))
    files = sorted(p for p in checkpoint.rglob("*") if p.suffix in {".json", ".safetensors"})
    for path in (*sources, *files):
        digest.update(path.name.encode())
        digest.update(_hash(path).encode())
    return f"{backend}-{digest.hexdigest()[:24]}"


def entry(name: str, make: Callable[[Path], None], *, root: Path = PLANS) -> Path:
    """The folder `root/name`, made by `make(folder)` where it is not there whole.

    Args:
        make: fills an empty folder; the folder takes its name only when it has returned.

    Raises:
        OSError: the cache cannot be written.
    """
    folder = root / name
    fault = _fault(folder)
    if fault is None:
        return folder
    if folder.exists():
        _LOG.warning("engine cache %s: %s; made anew", name, fault)
        shutil.rmtree(folder)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as temporary:
        making = Path(temporary) / name
        making.mkdir()
        make(making)
        hashes = {path.name: _hash(path) for path in sorted(making.iterdir())}
        (making / _MANIFEST).write_text(json.dumps(hashes, indent=1))
        making.rename(folder)
    return folder


def clear(*, root: Path = PLANS) -> None:
    """Delete every entry: the next start makes them anew."""
    shutil.rmtree(root, ignore_errors=True)


def _fault(folder: Path) -> str | None:
    """Why this entry cannot be used, or None."""
    try:
        hashes: dict[str, str] = json.loads((folder / _MANIFEST).read_text())
    except FileNotFoundError:
        return "incomplete"
    except json.JSONDecodeError:
        return "damaged manifest"
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file() or _hash(path) != expected:
            return f"damaged file {name}"
    return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
