"""Style files: the shipped twelve, community files, and what is wrong with bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from styles import StyleError, load_styles

NAMES = [
    "Cinematic Realism",
    "Anime Studio Ghibli",
    "Cyberpunk Neon",
    "Oil Painting",
    "Chinese Ink Wash",
    "Watercolor",
    "Pixel Art",
    "Clay Stop Motion",
    "3D Render",
    "Film Noir",
    "Vintage 1950s Film",
    "Paper Cut",
]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_the_twelve() -> None:
    styles = load_styles()
    assert list(styles) == NAMES
    for name, style in styles.items():
        assert style.name == name
        assert style.name_zh != name
        assert len({style.suits, style.suits_zh, style.looks, style.looks_zh, style.phrase_zh, ""}) == 6
        assert style.negative_prompt
        # The embedded text encoder reads 128 tokens of a small vocabulary; the prompt needs most of them.
        assert len(style.prompt) <= 200
        assert len(style.negative_prompt) <= 90


def test_community_file(tmp_path: Path) -> None:
    content = [
        {"name": "base", "prompt": "{prompt}", "negative_prompt": ""},
        {"name": "sai-neonpunk", "prompt": "neonpunk style {prompt} . (ultramodern:1.2)", "version": 3},
    ]
    path = tmp_path / "sdxl_styles.json"
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    styles = load_styles(path)
    assert len(styles) == 14
    assert styles["sai-neonpunk"].name_zh == "sai-neonpunk"
    assert styles["sai-neonpunk"].negative_prompt == ""
    assert styles["sai-neonpunk"].fusion.weight == 1.0


GOOD = {"name": "ok", "prompt": "{prompt}, ink"}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ["mine.json", "not JSON", "line 1"]),
        ("[" * 200_000, ["mine.json", "nested"]),
        ({"name": "x", "prompt": "{prompt}"}, ["mine.json", "list"]),
        ([], ["mine.json", "list"]),
        ([GOOD, 3], ["mine.json #2", "object"]),
        ([{"prompt": "{prompt}"}], ["#1", "name"]),
        ([{"name": " ", "prompt": "{prompt}"}], ["#1", "name"]),
        ([{"name": "Ink"}], ["#1 “Ink”", "prompt", "missing"]),
        ([{"name": "Ink", "prompt": "ink"}], ["#1 “Ink”", "prompt", "{prompt}"]),
        ([{"name": "Ink", "prompt": "(ink, {prompt}"}], ["“Ink”", "prompt", "character 1", "closed"]),
        ([{**GOOD, "negative_prompt": "a)"}], ["“ok”", "negative_prompt", "character 2"]),
        ([{**GOOD, "negative_prompt": None}], ["“ok”", "negative_prompt", "text"]),
        ([{**GOOD, "looks": 3}], ["“ok”", "looks", "text"]),
        ([GOOD, GOOD], ["#2 “ok”", "already"]),
        ([{"name": "Film Noir", "prompt": "{prompt}"}], ["#1 “Film Noir”", "already"]),
        ([{**GOOD, "fusion": []}], ["fusion", "object"]),
        ([{**GOOD, "fusion": {"wait": 1}}], ["fusion.wait", "unknown"]),
        ([{**GOOD, "fusion": {"weight": 0}}], ["fusion.weight", "above 0"]),
        ([{**GOOD, "fusion": {"weight": 3.1}}], ["fusion.weight", "0 to 3"]),
        ([{**GOOD, "fusion": {"weight": True}}], ["fusion.weight", "number"]),
        ('[{"name": "x", "prompt": "{prompt}", "fusion": {"weight": NaN}}]', ["fusion.weight", "number"]),
        ([{"name": "x", "prompt": "(a:2), {prompt}", "fusion": {"weight": 2}}], ["fusion.weight", "multiply"]),
        ([{**GOOD, "fusion": {"emphasis": "ink"}}], ["fusion.emphasis", "list"]),
        ([{**GOOD, "fusion": {"emphasis": ["oil"]}}], ["fusion.emphasis", "oil", "occur"]),
        ([{**GOOD, "fusion": {"emphasis": ["prompt"]}}], ["fusion.emphasis", "occur"]),
        ([{**GOOD, "fusion": {"guidance_scale": 30}}], ["guidance_scale", "1 to 20"]),
        ([{**GOOD, "fusion": {"num_inference_steps": 2.5}}], ["num_inference_steps", "whole"]),
    ],
)
def test_a_bad_file_says_which_entry_and_why(tmp_path: Path, content: Any, parts: list[str]) -> None:
    path = write(tmp_path / "mine.json", content)
    with pytest.raises(StyleError) as caught:
        load_styles(path)
    for part in parts:
        assert part in caught.value.message_en
    assert caught.value.message_zh != caught.value.message_en


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(StyleError, match=r"absent\.json: cannot be read"):
        load_styles(tmp_path / "absent.json")
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StyleError, match=r"binary\.json: is not UTF-8"):
        load_styles(binary)
