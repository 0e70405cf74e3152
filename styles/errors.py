"""The one exception of `styles`.

Owns how a mistake in a prompt or a style file is told. `styles` is a leaf, so this is a plain `ValueError` and not a
`pipeline.errors.WanError`; callers catch it by name.
"""

from __future__ import annotations


class StyleError(ValueError):
    """Text that cannot be parsed, or a style entry that cannot be used.

    Attributes:
        message_en, message_zh: the same sentence in both languages of the UI.
        position: 0-based index (code points) of the character at fault in the parsed text, or None.
        field: which text is at fault: "prompt", "negative_prompt", or a key of a style entry; "" where none is.
        entry: the file and the entry at fault (`my.json #3 "Neon"`), or "" for a person's own text.
    """

    def __init__(
        self,
        message_en: str,
        message_zh: str,
        *,
        position: int | None = None,
        field: str = "",
        entry: str = "",
    ) -> None:
        self.reason_en = message_en
        self.reason_zh = message_zh
        self.position = position
        self.field = field
        self.entry = entry
        where_en = [entry, field, "" if position is None else f"character {position + 1}"]
        where_zh = [entry, field, "" if position is None else f"第 {position + 1} 个字符"]
        self.message_en = ": ".join([*filter(None, where_en), message_en])
        self.message_zh = "：".join([*filter(None, where_zh), message_zh])
        super().__init__(self.message_en)

    def located(self, *, field: str, entry: str = "") -> StyleError:
        """The same mistake, told with the field (and entry) that the text came from."""
        return StyleError(self.reason_en, self.reason_zh, position=self.position, field=field, entry=entry)
