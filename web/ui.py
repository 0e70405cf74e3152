"""The page: lays the parts out and wires them to the page's scripts.

Owns the Blocks and what the scripts are told at load (`setup`). The hot path, from the button to the first painted
frame, is in assets/jobs.js and assets/player.js: no Gradio event stands on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

import styles
from pipeline.errors import RequestError
from pipeline.request import SIZES
from web import controls, history, machine_parts, presets, studio_parts
from web.texts import catalogue, text

ASSETS = Path(__file__).resolve().parents[1] / "assets"
SCRIPTS = (
    "base.js",
    "stream.js",
    "player.js",
    "controls.js",
    "studio.js",
    "gallery.js",
    "jobs.js",
    "view.js",
    "machine.js",
    "plan.js",
    "debug.js",
    "history.js",
    "compare.js",
)
STYLESHEETS = (ASSETS / "style.css", studio_parts.STYLESHEET, history.STYLESHEET, machine_parts.STYLESHEET)

# Where an error that names a field of a request is shown: ids of the controls.
FIELDS = {
    "prompt": "wan-prompt",
    "prompt_changes": "wan-prompt",
    "negative_prompt": "wan-negative",
    "style": "wan-style",
    "size": "wan-size",
    "width": "wan-size",
    "height": "wan-size",
    "seconds": "wan-seconds",
    "fps": "wan-fps",
    "guidance_scale": "wan-guidance",
    "denoise_strength": "wan-denoise",
    "num_inference_steps": "wan-steps",
    "seed": "wan-seed",
    "batch_size": "wan-batch",
    "earlier_seconds": "wan-seconds",
    "preset": "wan-preset",
}

_TOPBAR = """
<header class="wan-topbar">
  <div class="wan-brand"><h1 class="wan-brand-name"></h1><p class="wan-brand-line"></p></div>
  <div class="wan-chips"></div>
  <div class="wan-tools"><button type="button" class="wan-machine" aria-expanded="false"></button>
  <button type="button" class="wan-language"></button>
  <button type="button" class="wan-theme"><span aria-hidden="true">◐</span></button></div>
</header>
"""
_PLAYER = f"""
<section class="wan-player" data-state="idle">
  <div class="wan-error" role="alert" hidden></div>
  {machine_parts.ALARM}
  <div class="wan-stage"><div class="wan-screen"></div><div class="wan-veil"></div></div>
  <div class="wan-bar" role="progressbar" aria-valuemin="0" hidden><i></i></div>
  <div class="wan-facts"><span class="wan-state" role="status"></span><span class="wan-figures"></span></div>
  <div class="wan-links"><a class="wan-download wan-button" id="wan-download" role="link"></a>
  <button type="button" class="wan-copy wan-button" hidden></button></div>
  <div class="wan-clips" hidden></div>
</section>
"""
_MEMORY = """
<section class="wan-memory"><span class="wan-memory-text"></span><canvas role="img"></canvas></section>
"""
_CORNER = f"""
<div class="wan-ready" role="status" data-stage="starting"></div>
{machine_parts.DEBUG}
"""


def load_preset(path: str | None) -> dict[str, Any] | None:
    """The settings of an uploaded JSON or MP4, or what is wrong with it.

    Returns:
        `{"fields": {…}}` or `{"error": {"field", "message_en", "message_zh"}}`; None where nothing was chosen.
    """
    if path is None:
        return None
    try:
        return {"fields": presets.read(Path(path))}
    except RequestError as error:
        return {"error": {"field": error.field, "message_en": error.message_en, "message_zh": error.message_zh}}


def build(
    all_styles: Mapping[str, styles.Style],
    examples: Sequence[styles.Example],
    has_gpu: bool,
    add_api: Callable[[], None],
    sizes: Sequence[tuple[int, int]] = SIZES,
) -> gr.Blocks:
    """The page.

    Args:
        all_styles: by name, in the order of the dropdown.
        examples: prompts to click; the first stands in the box.
        has_gpu: chooses the preset that the page starts with.
        add_api: adds the API's endpoints inside the Blocks context.
        sizes: width and height of the clips on offer.
    """
    with gr.Blocks(title=text("title", "zh"), analytics_enabled=False, fill_width=True) as page:
        topbar = gr.HTML(_TOPBAR, elem_id="wan-topbar", js_on_load="wan.mount.topbar(element, trigger)")
        machine_parts.checks()
        with gr.Row(elem_id="wan-main"):
            with gr.Column(scale=5, min_width=320, elem_id="wan-controls"):
                made = controls.build(all_styles.values(), examples[0], has_gpu, sizes)
            with gr.Column(scale=8, min_width=320, elem_id="wan-view"):
                gr.HTML(_PLAYER, elem_id="wan-player", js_on_load="wan.mount.player(element)")
                following = history.build()
                gr.HTML(_MEMORY, elem_id="wan-memory", js_on_load="wan.mount.memory(element)")
        gr.HTML(_CORNER, elem_id="wan-corner", js_on_load="wan.mount.corner(element)")
        loaded = gr.JSON(visible=False)
        _wire(page, made, topbar, loaded)
        history.wire(following, made.values())
        add_api()
    return page


def _wire(page: gr.Blocks, made: controls.Controls, topbar: gr.HTML, loaded: gr.JSON) -> None:
    """Every event of the page; all but the reading of a preset run in the browser alone."""
    values, worded = made.values(), made.worded()
    made["generate"].click(fn=None, inputs=values, js="(...values) => { wan.submit(...values); }")
    made["cancel"].click(fn=None, js="() => { wan.cancel(); }")
    topbar.click(fn=None, outputs=worded, js="() => wan.switchLanguage()")
    page.load(fn=None, outputs=worded, js="() => wan.useLanguage(wan.language)")
    page.load(fn=None, inputs=values, outputs=values, js="(...values) => wan.draft(...values)")
    gr.on(
        [component.change for component in values],
        fn=None,
        inputs=values,
        js="(...values) => { wan.keepDraft(...values); }",
    )
    studio_parts.wire(page, made.by_name, values)
    gr.on(
        [made["guidance_scale"].input, made["steps"].input], fn=None, outputs=made["auto"], js="() => false"
    )  # a person who moves one of these means it
    made["seed_random"].click(fn=None, outputs=made["seed"], js="() => wan.seed(false)")
    made["seed_last"].click(fn=None, outputs=made["seed"], js="() => wan.seed(true)")
    made["preset"].input(
        fn=None, inputs=[made["preset"], *values], outputs=values, js="(...values) => wan.preset(...values)"
    )
    made["preset_save"].click(fn=None, inputs=values, js="(...values) => { wan.savePreset(...values); }")
    made["preset_load"].upload(
        load_preset, inputs=made["preset_load"], outputs=loaded, api_visibility="private", show_progress="hidden"
    ).then(fn=None, inputs=[loaded, *values], outputs=values, js="(...values) => wan.loaded(...values)")


def head(all_styles: Mapping[str, styles.Style], examples: Sequence[styles.Example]) -> str:
    """The scripts of the page, and what they must know, as HTML for `launch(head=…)`."""
    setup = {
        "texts": catalogue(),
        "presets": {name: dict(fields) for name, fields in presets.PRESETS.items()},
        **studio_parts.told(all_styles, examples),
        "wording": {name: dict(props) for name, props in controls.WORDING.items()},
        "values": list(controls.VALUES),
        "fields": FIELDS,
    }
    # "</" would end the script element inside a sentence.
    told = json.dumps(setup, ensure_ascii=False).replace("</", "<\\/")
    return f"<script>window.wan = {{ setup: {told} }};</script>\n<script>{script()}</script>"


def script() -> str:
    """Our own scripts as they are sent: in their order, without indentation and comments of their own lines.

    They hold no literal over several lines, for which this would not do.
    """
    source = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return re.sub(r"^\s*(/\*[\s\S]*?\*/\s*?$)?", "", source, flags=re.MULTILINE)
