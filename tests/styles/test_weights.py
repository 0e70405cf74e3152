"""The weight syntax: what it means, where it is wrong, and that it survives anything."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from styles import StyleError, WeightedText, parse_weights, print_weights
from styles.weights import merge_runs, parse_literals

SYNTAX = "()[]:\\（）［］：.013１．３ \n{}|,，猫雨夜a"


def runs(*pairs: tuple[str, float]) -> tuple[WeightedText, ...]:
    return tuple(WeightedText(text, weight) for text, weight in pairs)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", runs()),
        ("静卧的猎豹", runs(("静卧的猎豹", 1.0))),
        ("(词:1.3)", runs(("词", 1.3))),
        ("（词：1.3）", runs(("词", 1.3))),
        ("（词：１．３）", runs(("词", 1.3))),
        ("（词:1.3)", runs(("词", 1.3))),
        ("( 词 : 1.3 )", runs((" 词 ", 1.3))),
        ("(词:.5)", runs(("词", 0.5))),
        ("(词:2.)", runs(("词", 2.0))),
        ("(词:3)", runs(("词", 3.0))),
        ("(词:1)", runs(("词", 1.0))),
        ("(词)", runs(("词", 1.1))),
        ("((词))", runs(("词", 1.21))),
        ("[词]", runs(("词", 1 / 1.1))),
        ("［词］", runs(("词", 1 / 1.1))),
        ("([词])", runs(("词", 1.0))),
        ("(a(b:1.5)c:1.2)", runs(("a", 1.2), ("b", 1.8), ("c", 1.2))),
        (
            "(机械猫:1.5)在(东京涩谷十字路口:1.2)",
            runs(("机械猫", 1.5), ("在", 1.0), ("东京涩谷十字路口", 1.2)),
        ),
        ("(a)(b)", runs(("ab", 1.1))),
        (r"\(a\)", runs(("(a)", 1.0))),
        (r"(16\:9:1.2)", runs(("16:9", 1.2))),
        ("画幅16:9，时间：夜", runs(("画幅16:9，时间：夜", 1.0))),
        ("C:\\x \\", runs(("C:\\x \\", 1.0))),
        (r"\\(a)", runs(("\\", 1.0), ("a", 1.1))),
        ("【猫】「雨」", runs(("【猫】「雨」", 1.0))),
    ],
)
def test_meaning(text: str, expected: tuple[WeightedText, ...]) -> None:
    assert parse_weights(text) == expected


@pytest.mark.parametrize(
    ("text", "position", "part"),
    [
        ("猫(狗", 1, "never closed"),
        ("猫)狗", 1, "closes nothing"),
        ("：）", 1, "closes nothing"),
        ("(猫]", 2, "was expected"),
        ("猫()", 1, "no text"),
        ("(:1.3)", 0, "no text"),
        ("(猫:)", 3, "a number was expected"),
        ("(猫:", 2, "a number was expected"),
        ("(猫:强)", 3, "a number was expected"),
        ("(猫:-1)", 3, "a number was expected"),
        ("(猫:1e0)", 4, "behind the number 1 a closing bracket was expected"),
        ("(猫:nan)", 3, "a number was expected"),
        ("(猫:1.3:1.2)", 6, "behind the number 1.3 a closing bracket was expected"),
        ("一只(橙色的猫:1.4在雪山上奔跑", 11, "behind the number 1.4 a closing bracket was expected"),
        ("（猫： １．４ 在）", 8, "behind the number １．４ a closing bracket was expected"),
        ("(猫:0)", 3, "above 0 and at most 3"),
        ("（猫：3.01）", 3, "above 0 and at most 3"),
        ("(猫:" + "9" * 5000 + ")", 3, "above 0 and at most 3"),
        ("(a(b:2):2)", 2, "multiply to 4"),
        ("(" * 12 + "a" + ")" * 12, 11, "above 0 and at most 3"),
        ("(a:0." + "0" * 400 + "1)", 0, "multiply to 0"),
        ("(猫:1.2(狗))", 6, "must be the last"),
        ("[猫:0.8]", 2, "round brackets"),
    ],
)
def test_error_points_at_the_character(text: str, position: int, part: str) -> None:
    with pytest.raises(StyleError) as caught:
        parse_weights(text)
    error = caught.value
    assert error.position == position
    assert part in error.message_en
    assert f"character {position + 1}" in error.message_en
    assert f"第 {position + 1} 个字符" in error.message_zh


def test_range_is_told_in_both_languages() -> None:
    with pytest.raises(StyleError) as caught:
        parse_weights("(猫:4)")
    assert "above 0 and at most 3" in caught.value.message_en
    assert "大于 0、不超过 3" in caught.value.message_zh


weight = st.floats(min_value=0.0, max_value=3.0, exclude_min=True, allow_subnormal=True)
run = st.builds(WeightedText, st.text(st.one_of(st.sampled_from(SYNTAX), st.characters()), min_size=1), weight)


@given(st.lists(run, max_size=8).map(merge_runs))
@settings(max_examples=150, deadline=None, database=None)
def test_parse_of_print_is_identity(printed: tuple[WeightedText, ...]) -> None:
    assert parse_weights(print_weights(printed)) == printed


def test_a_hundred_thousand_random_strings() -> None:
    """Only `StyleError` ever comes out, its position is in the text, and what parses prints and parses to itself."""
    source = random.Random(20)
    parsed = 0
    for _ in range(100_000):
        text = "".join(source.choices(SYNTAX, k=source.randrange(1, 16)))
        position: int | None = 0
        try:
            result = parse_weights(text)
        except StyleError as error:
            position, result = error.position, None
        assert position is not None
        assert 0 <= position < len(text)
        if result is None:
            continue
        parsed += 1
        assert all(0 < run.weight <= 3 and run.text for run in result)
        assert parse_weights(print_weights(result)) == result
    assert parsed > 5_000  # the strings must not all be malformed, or the test says little


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None, database=None)
def test_any_unicode_parses_or_raises(text: str) -> None:
    try:
        literals = parse_literals(text)
    except StyleError:
        return
    assert [text[one.end - 1] for one in literals] == [one.char for one in literals]


def test_depth_has_no_limit_of_its_own() -> None:
    assert parse_weights("[" * 1000 + "(" * 1000 + "猫" + ")" * 1000 + "]" * 1000) == runs(("猫", 1.0))


def test_digits_are_for_reading() -> None:
    assert print_weights(parse_weights("[猫]((狗))"), 3) == "(猫:0.909)(狗:1.21)"
