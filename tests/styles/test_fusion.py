"""A style meeting a prompt."""

from __future__ import annotations

import pytest

from styles import Fusion, Style, StyledPrompt, StyleError, WeightedText, apply, load_styles, parse_weights

OIL = Style(
    name="Oil",
    name_zh="油画",
    prompt="oil painting, {prompt}, thick (strokes:1.2)",
    negative_prompt="photo, (blurry:1.4)",
    fusion=Fusion(weight=1.25, emphasis=("oil painting", "strokes")),
)


def test_without_a_style_the_prompt_stays_as_it_is() -> None:
    styled = apply("(猫:1.3)在雨中", None, "文字")
    assert styled == StyledPrompt((WeightedText("猫", 1.3), WeightedText("在雨中", 1.0)), (WeightedText("文字", 1.0),))


def test_template_and_prompt_weights() -> None:
    styled = apply("一只(猫:1.5)", OIL)
    assert styled.prompt == "oil painting, 一只猫, thick strokes"
    assert styled.display == "(oil painting:1.25), 一只(猫:1.5), thick (strokes:1.5)"
    assert styled.negative_prompt == "photo, blurry"
    assert styled.negative_display == "photo, (blurry:1.4)"


def test_display_is_the_same_prompt_again() -> None:
    styled = apply("一只(猫:1.5)，16:9", OIL)
    assert parse_weights(styled.display) == styled.positive


def test_own_negative_words_come_first() -> None:
    assert apply("猫", OIL, "(文字:1.2)").negative_display == "(文字:1.2), photo, (blurry:1.4)"


def test_placeholder_inside_a_group_multiplies() -> None:
    style = Style(name="x", name_zh="x", prompt="({prompt}, film:1.5) grain")
    assert apply("(猫:1.2)", style).display == "(猫:1.8)(, film:1.5) grain"
    with pytest.raises(StyleError) as caught:
        apply("(猫:2.5)", style)
    assert caught.value.field == "prompt"


def test_every_placeholder_is_filled_and_the_prompt_is_not_read_again() -> None:
    style = Style(name="x", name_zh="x", prompt="{prompt} and {prompt}")
    assert apply("{prompt}!", style).prompt == "{prompt}! and {prompt}!"


def test_without_emphasis_the_whole_template_is_weighted() -> None:
    style = Style(name="x", name_zh="x", prompt="ink, {prompt}", fusion=Fusion(weight=1.2))
    assert apply("猫", style).display == "(ink, :1.2)猫"


@pytest.mark.parametrize(("prompt", "negative", "field"), [("(猫", "", "prompt"), ("猫", "字)", "negative_prompt")])
def test_error_names_the_text(prompt: str, negative: str, field: str) -> None:
    with pytest.raises(StyleError) as caught:
        apply(prompt, OIL, negative)
    assert caught.value.field == field
    assert caught.value.position is not None


@pytest.mark.parametrize("style", load_styles().values(), ids=lambda style: style.name)
def test_shipped_styles_keep_the_prompt_whole(style: Style) -> None:
    styled = apply("(机械猫:1.5)在雨夜", style)
    assert "机械猫在雨夜" in styled.prompt
    assert WeightedText("机械猫", 1.5) in styled.positive
    assert any(run.weight == style.fusion.weight for run in styled.positive)
    assert "{prompt}" not in styled.prompt
