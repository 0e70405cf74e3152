"""Prompts and styles: weights, templates, and advice. Pure functions; a leaf that imports nothing of this project."""

from __future__ import annotations

from styles.advice import Finding, Fix, coach
from styles.errors import StyleError
from styles.examples import Example, load_examples
from styles.fusion import StyledPrompt, apply
from styles.lexicon import warm_up
from styles.pictures import example_picture, style_picture
from styles.structure import PART_KINDS, Part, parts
from styles.style import Fusion, Style, load_styles, read_styles
from styles.weights import WeightedText, parse_weights, print_weights

__all__ = [
    "PART_KINDS",
    "Example",
    "Finding",
    "Fix",
    "Fusion",
    "Part",
    "Style",
    "StyleError",
    "StyledPrompt",
    "WeightedText",
    "apply",
    "coach",
    "example_picture",
    "load_examples",
    "load_styles",
    "parse_weights",
    "parts",
    "print_weights",
    "read_styles",
    "style_picture",
    "warm_up",
]
