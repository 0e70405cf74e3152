"""Every exception that this project raises on purpose.

    WanError
    ├── RequestError        a person's mistake: names the field, what was given, what is allowed (zh and en)
    ├── CheckpointError     a checkpoint that cannot be loaded (defined in engines.errors: imports point down only)
    ├── EngineError         a backend that cannot be built or run (likewise)
    ├── EncoderError        no H.264 encoder opens, or frames that do not fit the one that did
    └── Cancelled           the stop flag was set; what was already made stays valid

`styles` is a leaf and has its own `StyleError`, a `ValueError`: a bad style file or weight syntax.
"""

from __future__ import annotations

from engines.errors import CheckpointError, EngineError, WanError

__all__ = ["Cancelled", "CheckpointError", "EncoderError", "EngineError", "RequestError", "WanError"]


class RequestError(WanError, ValueError):
    """A request outside what is offered.

    Attributes:
        field: the name of the field at fault.
        message_en, message_zh: the same sentence in both languages of the UI.
    """

    def __init__(self, field: str, given: object, allowed: str, allowed_zh: str) -> None:
        shown = repr(given) if not isinstance(given, str) or len(given) <= 60 else repr(given[:57] + "…")
        self.field = field
        self.message_en = f"{field}: given {shown}; allowed: {allowed}"
        self.message_zh = f"{field}：输入为 {shown}；允许：{allowed_zh}"
        super().__init__(self.message_en)


class EncoderError(WanError):
    """No H.264 encoder opens, or frames that do not fit the open one."""


class Cancelled(WanError):
    """The stop flag was set while a clip was being made."""
