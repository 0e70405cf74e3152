"""What only the server can judge about a request before it is queued: the style's name, the weights' syntax, the size.

Owns the wording of these refusals. Knows no job and no route.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import styles
from pipeline.errors import RequestError
from pipeline.request import VideoRequest


class PromptError(RequestError):
    """Malformed weights: the parser's own sentence, which points at the place, instead of the general one."""

    def __init__(self, field: str, error: styles.StyleError) -> None:
        super().__init__(field, "", error.message_en, error.message_zh)
        self.message_en, self.message_zh = error.message_en, error.message_zh


def style_check(known: Mapping[str, styles.Style]) -> Callable[[VideoRequest], None]:
    """A check for the job manager, so that a bad request is refused at once and not in its turn of the queue.

    The check raises `RequestError` for a style that is not in `known` and for malformed weights.
    """

    def check(request: VideoRequest) -> None:
        if request.style and request.style not in known:
            # What people loaded in their pages has another key than its name, and is not told to others.
            listed = ", ".join(key for key, style in known.items() if key == style.name)
            raise RequestError("style", request.style, f"one of {listed}", f"{listed} 之一")
        for prompt in (request.prompt, *(change.prompt for change in request.prompt_changes)):
            try:
                styles.apply(prompt, known.get(request.style), request.negative_prompt)
            except styles.StyleError as error:
                field = error.field if error.field in ("prompt", "negative_prompt") else "style"
                raise PromptError(field, error) from error

    return check


def size_check(sizes: tuple[tuple[int, int], ...]) -> Callable[[VideoRequest], None]:
    """Refuses requests of sizes that are not on offer, with RequestError."""
    return lambda request: request.require_size(sizes)
