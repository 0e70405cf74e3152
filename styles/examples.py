"""Example prompts to click: the shipped list.

Owns reading it. The settings are suggestions in the field names of a video request, which this package does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

_EXAMPLES = Path(__file__).with_name("examples.json")


@dataclass(frozen=True, slots=True)
class Example:
    """One example: the prompt in both languages, the name of its style, and suggested settings (width, seconds, …)."""

    prompt_zh: str
    prompt_en: str
    style: str
    settings: Mapping[str, int | float]


def load_examples() -> tuple[Example, ...]:
    """The shipped examples, the original prompts first, then two for each style in the styles' order."""
    entries: list[dict[str, Any]] = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    return tuple(
        Example(entry["prompt_zh"], entry["prompt_en"], entry["style"], MappingProxyType(entry["settings"]))
        for entry in entries
    )
