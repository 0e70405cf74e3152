"""The styles that a request may name: those that the page offers everyone, and those that people loaded in their page.

Owns the keys. A loaded style's key is its name with a digest of its content, so that two people's styles of one name
do not meet, an edited file is another style, and the same file loaded again is the same one. Knows no page.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping

import styles
from styles import Style

MAX_LOADED = 2000
"""Loaded styles that are kept, all people's together; the ones loaded longest ago go first."""


class StyleShelf(Mapping[str, Style]):
    """Styles by the key that a request names them with. Thread-safe."""

    def __init__(self, offered: Mapping[str, Style]) -> None:
        """Begin with what the page offers everyone, by name."""
        self.offered = offered
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, Style] = OrderedDict()

    def load(self, content: bytes, file_name: str) -> dict[str, Style]:
        """Take a person's style file; gives its styles by key, in its order.

        Raises:
            StyleError: it cannot be used; says which entry and why.
        """
        taken = {f"{style.name} #{_digest(style)}": style for style in styles.read_styles(content, file_name).values()}
        with self._lock:
            for key, style in taken.items():
                self._loaded[key] = style
                self._loaded.move_to_end(key)
            while len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
        return taken

    def __getitem__(self, key: str) -> Style:
        if key in self.offered:
            return self.offered[key]
        with self._lock:
            return self._loaded[key]

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            loaded = list(self._loaded)
        return itertools.chain(self.offered, loaded)

    def __len__(self) -> int:
        return len(self.offered) + len(self._loaded)


def _digest(style: Style) -> str:
    content = json.dumps(dataclasses.asdict(style), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]
