"""Fixtures that several folders share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from engines.checkpoint import Checkpoint

# torch is imported inside the fixtures: folders that need none of it start at once.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--browsers", choices=("chromium", "all"), default="chromium", help="all: Firefox and WebKitGTK too"
    )


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny block-causal checkpoint on disk."""
    from tests import tiny

    return tiny.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_folder: Path) -> Checkpoint:
    from engines.checkpoint import read_checkpoint

    return read_checkpoint(tiny_folder)
