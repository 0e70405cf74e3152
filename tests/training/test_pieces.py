"""What is fetched while a machine is lent: whole, in parts, and once."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import time
from io import BytesIO
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "training" / "pieces.sh"

pytestmark = pytest.mark.skipif(shutil.which("xz") is None, reason="xz is not installed")


@pytest.fixture
def lent(tmp_path: Path) -> Path:
    """A folder in which a reward has been learnt and a student is learning."""
    root = tmp_path / "lent"
    for name in ("training", ".train/pieces", ".train/run", ".train/student-0/few", ".train/logs"):
        (root / name).mkdir(parents=True)
    shutil.copy(SCRIPT, root / "training")
    (root / ".train/pieces/began").touch()
    time.sleep(0.02)
    (root / ".train/run/reward.pt").write_bytes(bytes(range(256)) * 20)
    (root / ".train/student-0/few/transformer.pt").write_bytes(b"first")
    (root / ".train/logs/reward.log").write_text("step 100\n")
    return root


def _fetched(root: Path, to: Path, part: str = "15m", seconds: int = 0) -> tuple[str, dict[str, bytes]]:
    """What is said, and what lies in the archives by its path."""
    command = ["sh", "training/pieces.sh", "fetch", str(seconds), str(to)]
    said = subprocess.run(command, cwd=root, env={"PATH": "/usr/bin:/bin", "PART_BYTES": part}, capture_output=True)
    assert said.returncode == 0, said.stderr
    held: dict[str, bytes] = {}
    for name in {path.name.rpartition(".")[0] for path in to.iterdir()}:
        whole = b"".join(path.read_bytes() for path in sorted(to.glob(f"{name}.*")))
        with tarfile.open(fileobj=BytesIO(whole), mode="r:xz") as archive:
            for member in archive:
                if (file := archive.extractfile(member)) is not None:
                    held[member.name] = file.read()
    return said.stdout.decode(), held


def test_all_that_is_there_comes_back_in_parts(lent: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    said, held = _fetched(lent, to, part="200")
    assert max(path.stat().st_size for path in to.iterdir()) <= 200
    assert len(list(to.glob("reward.tar.xz.*"))) > 1
    assert held[".train/run/reward.pt"] == bytes(range(256)) * 20
    assert held[".train/student-0/few/transformer.pt"] == b"first"
    assert said.splitlines() == [".train/logs/reward.log: step 100", "training"]


def test_what_has_not_changed_is_not_fetched_again(lent: Path, tmp_path: Path) -> None:
    _fetched(lent, tmp_path / "first")
    assert _fetched(lent, tmp_path / "second")[1] == {}
    time.sleep(0.02)
    (lent / ".train/student-0/few/transformer.pt").write_bytes(b"second")
    assert _fetched(lent, tmp_path / "third")[1] == {".train/student-0/few/transformer.pt": b"second"}


def test_the_reward_that_the_run_began_with_stays(lent: Path, tmp_path: Path) -> None:
    time.sleep(0.02)
    (lent / ".train/pieces/began").touch()
    assert ".train/run/reward.pt" not in _fetched(lent, tmp_path / "out")[1]


def test_waiting_ends_with_the_work(lent: Path, tmp_path: Path) -> None:
    (lent / ".train/pieces/done").touch()
    begin = time.monotonic()
    said, _ = _fetched(lent, tmp_path / "out", seconds=60)
    assert said.endswith("all is done\n")
    assert time.monotonic() - begin < 30
