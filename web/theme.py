"""The look of the page on Gradio's own theming: colours, radii and fonts, dark and light.

Fonts are the system's, so that a machine without a network asks nobody for them.
"""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

_SANS = ("system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Noto Sans Mono CJK SC", "monospace")


def theme() -> gr.themes.Base:
    """The theme handed to `launch`."""
    base = gr.themes.Base(
        primary_hue=colors.teal,
        secondary_hue=colors.teal,
        neutral_hue=colors.zinc,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_lg,
        font=list(_SANS),
        font_mono=list(_MONO),
    )
    return base.set(
        body_background_fill="#f6f6f4",
        body_background_fill_dark="#0f1113",
        body_text_color="#1c1d1f",
        body_text_color_dark="#ececec",
        body_text_color_subdued="#5c6067",
        body_text_color_subdued_dark="#a3a8b0",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#17191c",
        background_fill_secondary="#f0f0ed",
        background_fill_secondary_dark="#1e2125",
        block_background_fill="#ffffff",
        block_background_fill_dark="#17191c",
        block_border_width="1px",
        block_border_color="#e4e4df",
        block_border_color_dark="#2a2e33",
        block_shadow="none",
        block_label_text_weight="500",
        block_title_text_weight="500",
        block_title_text_color="*body_text_color",
        block_info_text_color="*body_text_color_subdued",
        border_color_primary="#dcdcd6",
        border_color_primary_dark="#34393f",
        border_color_accent="#0f766e",
        border_color_accent_dark="#2dd4bf",
        color_accent="#0f766e",
        color_accent_soft="#e3f1ef",
        color_accent_soft_dark="#12332f",
        input_background_fill="#ffffff",
        input_background_fill_dark="#111315",
        input_border_width="1px",
        input_border_color="#d3d3cc",
        input_border_color_dark="#383d44",
        input_border_color_focus="#0f766e",
        input_border_color_focus_dark="#2dd4bf",
        input_placeholder_color="#6d7178",
        input_placeholder_color_dark="#8b9098",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#0c615a",
        button_primary_background_fill_dark="#117a70",
        button_primary_background_fill_hover_dark="#0f6d64",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#22262a",
        button_secondary_background_fill_hover="#f0f0ed",
        button_secondary_background_fill_hover_dark="#2a2f34",
        button_secondary_border_color="#d3d3cc",
        button_secondary_border_color_dark="#383d44",
        button_secondary_text_color="*body_text_color",
        checkbox_label_background_fill="#ffffff",
        checkbox_label_background_fill_dark="#1e2125",
        checkbox_label_background_fill_selected="#e3f1ef",
        checkbox_label_background_fill_selected_dark="#12332f",
        checkbox_label_text_color_selected="#0b4f4a",
        checkbox_label_text_color_selected_dark="#b9f0e8",
        checkbox_background_color_selected="#0f766e",
        checkbox_background_color_selected_dark="#117a70",
        checkbox_border_color_selected="#0f766e",
        checkbox_border_color_selected_dark="#117a70",
        slider_color="#0f766e",
        slider_color_dark="#2dd4bf",
        loader_color="#0f766e",
        loader_color_dark="#2dd4bf",
    )
