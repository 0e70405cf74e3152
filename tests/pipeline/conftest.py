"""Models of tiny random weights for the walk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipeline import Model


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Model:
    """Block-causal, on the backend that a person gets."""
    from pipeline import load_model

    return load_model(tiny_folder)


@pytest.fixture(scope="session")
def whole_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without streaming.json: a public, bidirectional checkpoint, whose clip is one block."""
    from tests import tiny

    return tiny.save(tmp_path_factory.mktemp("whole"), streaming=None)
