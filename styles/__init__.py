"""Prompts and styles: weights, templates, and advice. Pure functions; a leaf that imports nothing of this project."""

from __future__ import annotations

from styles.errors import StyleError
from styles.fusion import StyledPrompt, apply
from styles.style import Fusion, Style, load_styles
from styles.weights import WeightedText, parse_weights, print_weights

__all__ = [
    "Fusion",
    "Style",
    "StyleError",
    "StyledPrompt",
    "WeightedText",
    "apply",
    "load_styles",
    "parse_weights",
    "print_weights",
]
