"""The places of the machine on the page: checklist, forecast, change of the prompt, alarm, debug curves.

Owns empty elements and their look. What is in them is drawn by assets/machine.js, assets/plan.js and assets/debug.js;
the figures are the routes' (`web.machine`).
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STYLESHEET = Path(__file__).resolve().parents[1] / "assets" / "machine.css"

_CHECKS = '<section class="wan-checks" hidden></section>'
_PLAN = """
<div class="wan-plan">
  <p class="wan-forecast" role="status" hidden></p>
  <div class="wan-sure" role="alert" hidden></div>
  <div class="wan-change" hidden></div>
</div>
"""
ALARM = '<div class="wan-alarm" role="alert" hidden></div>'
DEBUG = """
<section class="wan-debug" hidden>
  <h2 class="wan-curves-title"></h2><div class="wan-legend"></div><canvas class="wan-curves" role="img"></canvas>
  <h2 class="wan-debug-title"></h2><pre class="wan-log" tabindex="0"></pre>
</section>
"""


def checks() -> gr.HTML:
    """The checklist of the start."""
    return gr.HTML(_CHECKS, elem_id="wan-checks", js_on_load="wan.mount.checks(element)")


def plan() -> gr.HTML:
    """What the settings will take, over the button that starts it."""
    return gr.HTML(_PLAN, elem_id="wan-plan", js_on_load="wan.mount.plan(element)")
