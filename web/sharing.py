"""One file under two names, for jobs that go on from one another. Knows no job."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def share(source: Path, target: Path) -> None:
    """Give a file that never changes any more a second name, or a copy where the file system has no second names.

    Raises:
        OSError: neither can be made.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def share_all(source: Path, target: Path) -> None:
    """Make a folder and give it every whole file of another one, none of which ever changes, by `share`."""
    target.mkdir()
    for path in source.glob("*.safetensors"):
        share(path, target / path.name)
