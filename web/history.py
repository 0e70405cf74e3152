"""The places of the history and the comparison on the page: empty elements, their look, and the one event.

Owns the markup that assets/history.js and assets/compare.js draw into. Which jobs there are is known to the browser
that made them, not to the server: an id is the only key to a job.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

STYLESHEET = Path(__file__).resolve().parents[1] / "assets" / "history.css"

_NEXT = '<div class="wan-next" hidden></div>'
_STRIP = """
<section class="wan-history" hidden>
  <div class="wan-history-head"><h2></h2><span class="wan-hint"></span>
  <button type="button" class="wan-button wan-history-compare"></button></div>
  <ul class="wan-tiles"></ul>
</section>
"""


def build() -> gr.HTML:
    """Lay both places out in the current Blocks context; answers with what triggers `wire`'s event."""
    following = gr.HTML(_NEXT, elem_id="wan-next", js_on_load="wan.mount.next(element, trigger)")
    gr.HTML(_STRIP, elem_id="wan-history", js_on_load="wan.mount.history(element)")
    return following


def wire(following: gr.HTML, values: list[Any]) -> None:
    """Let the settings of the video on the screen be taken over into the controls."""
    following.click(fn=None, inputs=values, outputs=values, js="(...values) => wan.useSettings(...values)")
