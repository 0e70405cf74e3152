"""The page: lays the parts out and wires them to the page's scripts.

Owns the Blocks and what the scripts are told at load (`setup`). The hot path, from the button to the first painted
frame, is in assets/jobs.js and assets/player.js: no Gradio event stands on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

import styles
from pipeline.errors import EncoderError, RequestError
from web import controls, presets
from web.texts import catalogue, text

ASSETS = Path(__file__).resolve().parents[1] / "assets"
SCRIPTS = ("base.js", "stream.js", "player.js", "controls.js", "jobs.js", "view.js")
STYLESHEET = ASSETS / "style.css"

# Where an error that names a field of a request is shown: ids of the controls.
FIELDS = {
    "prompt": "wan-prompt",
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
    "preset": "wan-preset",
}

_TOPBAR = """
<header class="wan-topbar">
  <div class="wan-brand"><h1 class="wan-brand-name"></h1><p class="wan-brand-line"></p></div>
  <div class="wan-chips"></div>
  <div class="wan-tools"><button type="button" class="wan-language"></button>
  <button type="button" class="wan-theme"><span aria-hidden="true">◐</span></button></div>
</header>
"""
_PLAYER = """
<section class="wan-player" data-state="idle">
  <div class="wan-error" role="alert" hidden></div>
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
_CORNER = """
<div class="wan-ready" role="status" data-stage="starting"></div>
<section class="wan-debug" hidden><h2 class="wan-debug-title"></h2><pre class="wan-log" tabindex="0"></pre></section>
"""


def explain(
    all_styles: Mapping[str, styles.Style], prompt: str, negative_prompt: str, style_name: str
) -> dict[str, Any]:
    """What the *i* button shows: the exact final prompt, and about the style.

    Returns:
        `{"prompt", "negative_prompt", "style": {…} | None, "error": {"field", "message_en", "message_zh"} | None}`.
    """
    style = all_styles.get(style_name)
    answer: dict[str, Any] = {"prompt": "", "negative_prompt": "", "style": None, "error": None}
    if style is not None:
        answer["style"] = asdict(style)
    try:
        final = styles.apply(prompt, style, negative_prompt)
    except styles.StyleError as error:
        answer["error"] = {"field": error.field, "message_en": error.message_en, "message_zh": error.message_zh}
    else:
        answer["prompt"], answer["negative_prompt"] = final.display, final.negative_display
    return answer


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
    except EncoderError as error:
        return {"error": {"field": "preset", "message_en": str(error), "message_zh": str(error)}}


def build(
    all_styles: Mapping[str, styles.Style],
    examples: Sequence[styles.Example],
    has_gpu: bool,
    add_api: Callable[[], None],
) -> gr.Blocks:
    """The page.

    Args:
        all_styles: by name, in the order of the dropdown.
        examples: prompts to click; the first stands in the box.
        has_gpu: chooses the preset that the page starts with.
        add_api: adds the API's endpoints inside the Blocks context.
    """

    def explain_here(asked: dict[str, str]) -> dict[str, Any]:
        return explain(all_styles, asked["prompt"], asked["negative_prompt"], asked["style"])

    explain_here.__name__ = "explain"
    with gr.Blocks(title=text("title", "zh"), analytics_enabled=False, fill_width=True) as page:
        topbar = gr.HTML(_TOPBAR, elem_id="wan-topbar", js_on_load="wan.mount.topbar(element, trigger)")
        with gr.Row(elem_id="wan-main"):
            with gr.Column(scale=5, min_width=320, elem_id="wan-controls"):
                made = controls.build(all_styles.values(), examples[0], has_gpu, explain_here)
            with gr.Column(scale=8, min_width=320, elem_id="wan-view"):
                gr.HTML(_PLAYER, elem_id="wan-player", js_on_load="wan.mount.player(element)")
                gr.HTML(_MEMORY, elem_id="wan-memory", js_on_load="wan.mount.memory(element)")
        gr.HTML(_CORNER, elem_id="wan-corner", js_on_load="wan.mount.corner(element)")
        loaded = gr.JSON(visible=False)
        _wire(page, made, topbar, loaded)
        add_api()
    return page


def _wire(page: gr.Blocks, made: controls.Controls, topbar: gr.HTML, loaded: gr.JSON) -> None:
    """Every event of the page; all but the reading of a preset run in the browser alone."""
    values, worded = made.values(), made.worded()
    made["generate"].click(fn=None, inputs=values, js="(...values) => { wan.submit(...values); }")
    made["cancel"].click(fn=None, js="() => { wan.cancel(); }")
    made["examples"].click(fn=None, inputs=values, outputs=values, js="(...values) => wan.takeExample(...values)")
    topbar.click(fn=None, outputs=worded, js="() => wan.switchLanguage()")
    page.load(fn=None, outputs=worded, js="() => wan.useLanguage(wan.language)")
    page.load(fn=None, inputs=values, outputs=values, js="(...values) => wan.draft(...values)")
    gr.on(
        [component.change for component in values],
        fn=None,
        inputs=values,
        js="(...values) => { wan.keepDraft(...values); }",
    )
    prompt_inputs = [made["prompt"], made["negative_prompt"], made["style"]]
    made["reveal"].click(fn=None, inputs=prompt_inputs, js="(...values) => { wan.explain(true, ...values); }")
    gr.on(
        [component.change for component in prompt_inputs],
        fn=None,
        inputs=prompt_inputs,
        js="(...values) => { wan.explain(false, ...values); }",
    )
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


def head(examples: Sequence[styles.Example]) -> str:
    """The scripts of the page, and what they must know, as HTML for `launch(head=…)`."""
    setup = {
        "texts": catalogue(),
        "presets": {name: dict(fields) for name, fields in presets.PRESETS.items()},
        "examples": [
            {
                "prompt_zh": example.prompt_zh,
                "prompt_en": example.prompt_en,
                "style": example.style,
                "settings": dict(example.settings),
            }
            for example in examples
        ],
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
