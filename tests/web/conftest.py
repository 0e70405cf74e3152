"""A real job manager, fed with drawn frames."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.web.studio import Studio
from web.jobs import JobManager


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def manager(studio: Studio, tmp_path: Path) -> Iterator[JobManager]:
    made = JobManager(tmp_path / "jobs", studio.produce, memory_used=lambda: 1000, max_queued=4)
    made.start()
    yield made
    made.close()


@pytest.fixture
def new_id() -> Callable[[], str]:
    return lambda: secrets.token_hex(16)
