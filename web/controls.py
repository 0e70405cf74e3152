"""The left side of the page: every control of a request, and the order in which the page's script reads them.

Owns the components, their limits and their wording keys. Does not know jobs, the player or how a request is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.request import FPS, MAX_BATCH_SIZE, MAX_PROMPT_CHARS, MAX_STEPS, SECONDS, SIZES
from styles import Example, Style
from web import machine_parts, presets, studio_parts
from web.texts import label

DEFAULT_GUIDANCE_SCALE = 7.0
DEFAULT_STEPS = 20
DEFAULT_ALARM_PERCENT = 90

# Which properties of a control are sentences: {name of the control: {property: key in web.texts}}. The page's script
# changes them all in place when a person switches the language, so nothing typed is lost.
WORDING: Mapping[str, Mapping[str, str]] = {
    "prompt": {"label": "prompt", "placeholder": "prompt_placeholder", "info": "prompt_tip"},
    "negative_prompt": {
        "label": "negative_prompt",
        "placeholder": "negative_placeholder",
        "info": "negative_tip",
    },
    "style": {"label": "style", "info": "style_tip"},
    "preset": {"label": "preset", "info": "preset_tip"},
    "size": {"label": "size"},
    "seconds": {"label": "seconds"},
    "fps": {"label": "fps"},
    "auto": {"label": "auto", "info": "auto_tip"},
    "guidance_scale": {"label": "guidance_scale", "info": "guidance_tip"},
    "denoise_strength": {"label": "denoise_strength", "info": "denoise_tip"},
    "steps": {"label": "steps", "info": "steps_tip"},
    "seed": {"label": "seed", "info": "seed_tip"},
    "batch_size": {"label": "batch_size", "info": "batch_tip"},
    "streaming": {"label": "streaming", "info": "streaming_tip"},
    "alarm_percent": {"label": "alarm_percent", "info": "alarm_tip"},
    "seed_random": {"value": "seed_random"},
    "seed_last": {"value": "seed_last"},
    "preset_save": {"value": "preset_save"},
    "preset_load": {"label": "preset_load"},
    "advanced": {"label": "advanced"},
    "generate": {"value": "generate"},
    "cancel": {"value": "cancel"},
}

# The order in which the page's scripts get the values; the last one is no part of a request.
VALUES: tuple[str, ...] = (
    "prompt",
    "negative_prompt",
    "style",
    "size",
    "seconds",
    "fps",
    "auto",
    "guidance_scale",
    "denoise_strength",
    "seed",
    "steps",
    "batch_size",
    "streaming",
    "alarm_percent",
)


@dataclass(frozen=True, slots=True)
class Controls:
    """The components by the names of `WORDING`, and the order that events hand them over in."""

    by_name: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.by_name[name]

    def values(self) -> list[Any]:
        """The controls of a request, in the order of `VALUES`."""
        return [self.by_name[name] for name in VALUES]

    def worded(self) -> list[Any]:
        """The controls that carry sentences, in the order of `WORDING`."""
        return [self.by_name[name] for name in WORDING]


def build(
    styles: Iterable[Style], example: Example, has_gpu: bool, offered: Sequence[tuple[int, int]] = SIZES
) -> Controls:
    """Lay the controls out in the current Blocks context.

    Args:
        styles: what the style dropdown offers, besides none.
        example: its prompt stands in the box at first.
        has_gpu: chooses the preset that the page starts with.
        offered: width and height; the preset's own stands in the page where it is one of them, else the first.
    """
    start = presets.default_preset(has_gpu)
    fields = presets.PRESETS[start]
    made: dict[str, Any] = {}
    made["prompt"] = gr.Textbox(
        value=example.prompt_zh,
        lines=3,
        max_lines=12,
        max_length=MAX_PROMPT_CHARS,
        elem_id="wan-prompt",
        **_words("prompt"),
    )
    made["coach"] = studio_parts.coach()
    made["examples"] = studio_parts.examples()
    with gr.Row(elem_id="wan-style-row", equal_height=False):
        choices = [(studio_parts.NO_STYLE, "")] + [(f"{style.name_zh} · {style.name}", style.name) for style in styles]
        made["style"] = gr.Dropdown(
            choices,
            value="",  # the example's words say its style: another prompt would get one that nobody chose
            filterable=True,
            scale=1,
            min_width=200,
            elem_id="wan-style",
            **_words("style"),
        )
        made["reveal"] = gr.Button("i", elem_id="wan-reveal", scale=0, min_width=40)
    studio_parts.final()
    made["cards"] = studio_parts.cards()
    made["negative_prompt"] = gr.Textbox(
        lines=1, max_lines=3, max_length=MAX_PROMPT_CHARS, elem_id="wan-negative", **_words("negative_prompt")
    )
    with gr.Row(elem_id="wan-preset-row", equal_height=False):
        made["preset"] = gr.Dropdown(
            list(presets.PRESETS), value=start, scale=1, min_width=200, elem_id="wan-preset", **_words("preset")
        )
        made["preset_save"] = gr.Button(
            size="sm", scale=0, min_width=60, elem_id="wan-preset-save", **_words("preset_save")
        )
        made["preset_load"] = gr.UploadButton(
            size="sm",
            scale=0,
            min_width=60,
            file_types=[".json", ".mp4"],
            elem_id="wan-preset-load",
            **_words("preset_load"),
        )
    sizes = [f"{width}×{height}" for width, height in offered]
    wanted = f"{fields['width']}×{fields['height']}"
    value = wanted if wanted in sizes else sizes[0]
    made["size"] = gr.Radio(sizes, value=value, elem_id="wan-size", **_words("size"))
    with gr.Row(elem_id="wan-time-row"):
        made["seconds"] = gr.Radio(
            list(SECONDS), value=fields["seconds"], min_width=150, elem_id="wan-seconds", **_words("seconds")
        )
        made["fps"] = gr.Radio(list(FPS), value=fields["fps"], min_width=110, elem_id="wan-fps", **_words("fps"))
    with gr.Accordion(open=False, elem_id="wan-advanced", label=label("advanced")) as advanced:
        made["advanced"] = advanced
        _advanced(made, fields["denoise_strength"])
    made["streaming"] = gr.Checkbox(value=True, elem_id="wan-streaming", **_words("streaming"))
    with gr.Column(elem_id="wan-actions"):
        machine_parts.plan()
        with gr.Row(elem_id="wan-buttons"):
            made["generate"] = gr.Button(
                variant="primary", size="lg", scale=3, min_width=140, elem_id="wan-generate", **_words("generate")
            )
            made["cancel"] = gr.Button(
                variant="secondary", size="lg", scale=1, min_width=90, elem_id="wan-cancel", **_words("cancel")
            )
    return Controls(made)


def _advanced(made: dict[str, Any], denoise_strength: float) -> None:
    """The sliders of the advanced section, into `made`."""
    made["auto"] = gr.Checkbox(value=True, elem_id="wan-auto", **_words("auto"))
    made["guidance_scale"] = gr.Slider(
        1, 20, value=DEFAULT_GUIDANCE_SCALE, step=0.1, elem_id="wan-guidance", **_words("guidance_scale")
    )
    made["steps"] = gr.Slider(1, MAX_STEPS, value=DEFAULT_STEPS, step=1, elem_id="wan-steps", **_words("steps"))
    made["denoise_strength"] = gr.Slider(
        0.1, 1.0, value=denoise_strength, step=0.01, elem_id="wan-denoise", **_words("denoise_strength")
    )
    with gr.Row(elem_id="wan-seed-row", equal_height=False):
        made["seed"] = gr.Number(value=-1, precision=0, min_width=140, elem_id="wan-seed", **_words("seed"))
        made["seed_random"] = gr.Button(
            size="sm", scale=0, min_width=60, elem_id="wan-seed-random", **_words("seed_random")
        )
        made["seed_last"] = gr.Button(size="sm", scale=0, min_width=60, elem_id="wan-seed-last", **_words("seed_last"))
    made["batch_size"] = gr.Slider(1, MAX_BATCH_SIZE, value=1, step=1, elem_id="wan-batch", **_words("batch_size"))
    made["alarm_percent"] = gr.Slider(
        50, 99, value=DEFAULT_ALARM_PERCENT, step=1, elem_id="wan-alarm-percent", **_words("alarm_percent")
    )


def _words(name: str) -> dict[str, Any]:
    """The sentences of one control as keyword arguments of its component."""
    return {prop: label(key) for prop, key in WORDING[name].items()}
