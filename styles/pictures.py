"""Which file shows an example or a style: a name that changes with what would change the picture.

Owns the names. A picture whose prompt or template was edited since is missing under its new name, never wrong. Does
not know how pictures are made (`bench.stills`) or shown (`web.studio`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re

from styles.examples import Example
from styles.style import Style

SUBJECT_ZH = "一只橙色的猫坐在草地上"
"""What every style's picture shows, so that only the style differs."""


def style_picture(style: Style) -> str:
    """File name of a style's picture, without a folder, such as "oil-painting-1a2b3c4d.webp"."""
    drawn = (SUBJECT_ZH, style.prompt, style.negative_prompt, dataclasses.asdict(style.fusion))
    slug = re.sub(r"[^a-z0-9]+", "-", style.name.lower()).strip("-")
    return f"{slug or 'style'}-{_digest(drawn)}.webp"


def example_picture(example: Example, style: Style | None) -> str:
    """File name of an example's picture; `style` is the one that it names."""
    drawn = (example.prompt_zh, dict(example.settings), style_picture(style) if style else "")
    return f"example-{_digest(drawn)}.webp"


def _digest(drawn: object) -> str:
    return hashlib.sha256(json.dumps(drawn, ensure_ascii=False).encode()).hexdigest()[:8]
