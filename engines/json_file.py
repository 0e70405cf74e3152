"""Reading one configuration file of a checkpoint. Owns the words for a missing or damaged one; imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engines.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """The file's object.

    Raises:
        CheckpointError: the file is missing or is not JSON; names its folder and itself.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"missing file: {path.parent.name}/{path.name}") from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path.parent.name}/{path.name} is not JSON: {error}") from None
