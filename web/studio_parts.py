"""The prompt studio on the page: its places in the layout, its events, and what its script is told at load.

Owns nothing that is computed: advice, final prompts and style files are the routes' (`web.studio`), every drawing is
assets/studio.js's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from styles import Example, Style, example_picture, style_picture
from web import studio

STYLESHEET = Path(__file__).resolve().parents[1] / "assets" / "studio.css"

NO_STYLE = "无 · None"
"""What the dropdown calls the choice of no style."""

_COACH = """
<section class="wan-coach">
  <div class="wan-parts" role="group"></div>
  <p class="wan-syntax" role="alert" hidden></p>
  <div class="wan-advice"><span class="wan-advice-count" role="status"></span>
  <button type="button" class="wan-button wan-undo" hidden></button></div>
  <ul class="wan-findings"></ul>
</section>
"""
_EXAMPLES = """
<section class="wan-gallery"><header><span class="wan-hint"></span>
<button type="button" class="wan-button wan-all" aria-expanded="false"></button></header>
<div class="wan-strip" role="toolbar"></div></section>
"""
_STYLES = """
<section class="wan-looks"><header><span class="wan-hint"></span>
<button type="button" class="wan-button wan-forget" hidden></button>
<button type="button" class="wan-button wan-load"></button><input type="file" accept=".json" hidden></header>
<p class="wan-styles-error" role="alert" hidden></p>
<div class="wan-cards" role="radiogroup"></div></section>
"""


def coach() -> gr.HTML:
    """Parts, advice and fixes under the prompt."""
    return gr.HTML(_COACH, elem_id="wan-coach", js_on_load="wan.mount.coach(element, trigger)")


def examples() -> gr.HTML:
    """The gallery of examples."""
    return gr.HTML(_EXAMPLES, elem_id="wan-examples", js_on_load="wan.mount.examples(element, trigger)")


def cards() -> gr.HTML:
    """A picture of every style, and the loading of a style file."""
    return gr.HTML(_STYLES, elem_id="wan-styles", js_on_load="wan.mount.styles(element, trigger)")


def final() -> gr.HTML:
    """The final prompt."""
    return gr.HTML("<dl class='wan-final' hidden></dl>", elem_id="wan-final", js_on_load="wan.mount.final(element)")


def wire(page: gr.Blocks, made: Mapping[str, Any], values: Sequence[Any]) -> None:
    """The studio's events; all of them run in the browser alone.

    Args:
        made: the page's components by name, with "coach", "examples" and "cards" among them.
        values: the controls of a request, in the order in which the scripts get them.
    """
    inputs = [made["prompt"], made["negative_prompt"], made["style"]]
    studied = "(...values) => { wan.study(...values); }"
    page.load(fn=None, inputs=inputs, js=studied)
    gr.on([component.change for component in inputs], fn=None, inputs=inputs, js=studied)
    made["reveal"].click(fn=None, inputs=inputs, js="(...values) => { wan.reveal(...values); }")
    made["examples"].click(fn=None, inputs=values, outputs=values, js="(...values) => wan.takeExample(...values)")
    made["coach"].click(fn=None, inputs=values, outputs=values, js="(...values) => wan.takeBack(...values)")
    made["cards"].click(fn=None, outputs=made["style"], js="() => wan.takeStyle()")


def told(all_styles: Mapping[str, Style], all_examples: Sequence[Example]) -> dict[str, Any]:
    """What the script must know: examples and styles, each with the name of its picture or "", and `no_style`."""
    there = studio.stills()

    def picture(name: str) -> str:
        return name if name in there else ""

    return {
        "no_style": NO_STYLE,
        "examples": [
            {
                "prompt_zh": example.prompt_zh,
                "prompt_en": example.prompt_en,
                "style": example.style,
                "settings": dict(example.settings),
                "picture": picture(example_picture(example, all_styles.get(example.style))),
            }
            for example in all_examples
        ],
        "styles": [
            {"key": key, **studio.listed(style, picture(style_picture(style)))} for key, style in all_styles.items()
        ],
    }
