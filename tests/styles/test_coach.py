"""The coach: what it flags, what it leaves alone, and what one click makes of it."""

from __future__ import annotations

import random
import statistics
import time

import pytest

from styles import StyleError, coach, load_examples, load_styles, parse_weights, warm_up
from tests.styles.coach_cases import FLAGGED, LEFT_ALONE

POSITIVES = [(rule, *case) for rule, cases in FLAGGED.items() for case in cases]
NEGATIVES = [(rule, prompt) for rule, prompts in LEFT_ALONE.items() for prompt in prompts]

ORIGINAL = [
    "一只青灰色机械猫在雨夜东京街头踱步,赛博朋克风格",
    "穿红斗篷的少女站在雪山悬崖边,逆光金边,胶片颗粒感,电影宽银幕,8K细节",
    "静卧的猎豹",
    "2077年新上海,悬浮车流穿梭于玻璃幕墙摩天楼之间,霓虹广告投射在湿漉路面上,景深镜头,8K",
    "咖啡馆,木质吧台",
]


@pytest.fixture(scope="module", autouse=True)
def _dictionary() -> None:
    warm_up()


def test_every_rule_has_its_cases() -> None:
    assert set(FLAGGED) == set(LEFT_ALONE)
    assert all(len(cases) >= 4 for cases in (*FLAGGED.values(), *LEFT_ALONE.values()))
    assert len(POSITIVES) + len(NEGATIVES) >= 60


@pytest.mark.parametrize(("rule", "prompt", "words", "fixed"), POSITIVES)
def test_flagged(rule: str, prompt: str, words: str, fixed: str) -> None:
    found = [finding for finding in coach(prompt) if finding.rule == rule]
    assert len(found) == 1
    start, end = found[0].span
    assert prompt[start:end] == words
    assert found[0].fix.prompt == fixed
    assert rule not in {finding.rule for finding in coach(fixed)}
    assert words in found[0].message_zh or rule in {"abstract_pile", "several_subjects", "part_order"}
    assert found[0].message_en != found[0].message_zh


@pytest.mark.parametrize(("rule", "prompt"), NEGATIVES)
def test_left_alone(rule: str, prompt: str) -> None:
    assert rule not in {finding.rule for finding in coach(prompt)}


def test_every_kind_of_fix_is_offered() -> None:
    kinds = {finding.fix.kind for _, prompt, _, _ in POSITIVES for finding in coach(prompt)}
    assert kinds == {"reduce", "replace", "weight", "add"}


@pytest.mark.parametrize(
    ("prompt", "rule"),
    [
        ("美丽梦幻震撼的高级画面", "abstract_pile"),
        ("几棵树", "vague_number"),
        ("水墨风", "bare_style"),
        ("很多人在跑", "vague_number"),
    ],
)
def test_the_bad_prompts_of_the_original(prompt: str, rule: str) -> None:
    assert {finding.rule for finding in coach(prompt)} == {rule, "missing_part"}


@pytest.mark.parametrize("prompt", [*ORIGINAL, "3棵松树, 树干直径约40cm", "水墨风国画, 宣纸纹理, 淡墨晕染"])
def test_the_good_prompts_of_the_original(prompt: str) -> None:
    assert {finding.rule for finding in coach(prompt)} <= {"missing_part"}


def test_shipped_words_follow_the_advice() -> None:
    prompts = [text for example in load_examples() for text in (example.prompt_zh, example.prompt_en)]
    prompts += [style.phrase_zh for style in load_styles().values()]
    for prompt in prompts:
        assert {finding.rule for finding in coach(prompt)} <= {"missing_part"}, prompt


def test_adding_all_that_is_missing_completes_a_prompt() -> None:
    prompt = "静卧的猎豹"
    for _ in range(4):
        prompt = next(finding for finding in coach(prompt) if finding.rule == "missing_part").fix.prompt
    assert coach(prompt) == ()
    assert prompt == "静卧的猎豹，雨后东京街头，侧逆光，轮廓金边，电影宽银幕，胶片颗粒感，浅景深，8K细节"


@pytest.mark.parametrize(
    ("prompt", "rule", "words", "fixed"),
    [
        ("(几棵:1.3)树", "vague_number", "几棵:1.3)树", "(3棵松树，树干直径约40cm:1.3)"),
        ("几(棵树:1.3)，雨", "vague_number", "几(棵树", "(3棵松树，树干直径约40cm:1.3)，雨"),
        ("（美丽）(梦幻:1.3)的（森林：1.2）", "abstract_pile", "美丽）(梦幻", "(森林:1.2)"),
        ("（机械猫：1.5），8K，美丽，梦幻", "abstract_pile", "美丽，梦幻", "（机械猫：1.5），8K"),
        ("8K，(一只猫:1.2)在雨中", "part_order", "8K", "(一只猫:1.2)在雨中，8K"),
        ("(猫:1.2)，8K，逆光，水彩画", "missing_part", "", "(猫:1.2)，雨后东京街头，8K，逆光，水彩画"),
        (r"几棵树\(松\)", "vague_number", "几棵树", r"3棵松树\(松\)，树干直径约40cm"),
    ],
)
def test_weights_survive_a_fix(prompt: str, rule: str, words: str, fixed: str) -> None:
    finding = next(finding for finding in coach(prompt) if finding.rule == rule)
    assert prompt[slice(*finding.span)] == words
    assert finding.fix.prompt == fixed


def test_malformed_weights_count_as_text() -> None:
    finding = next(finding for finding in coach("(几棵树") if finding.rule == "vague_number")
    assert finding.span == (1, 4)
    assert finding.fix.prompt == "(3棵松树，树干直径约40cm"


def test_suggestions_do_not_contradict_the_prompt() -> None:
    for prompt in ("正午的沙漠，一头骆驼", "黑白电影，一个侦探", "夜晚，一只猫，固定镜头"):
        for finding in coach(prompt):
            assert "conflict" not in {after.rule for after in coach(finding.fix.prompt)}


def test_random_prompts_never_raise_and_every_fix_parses() -> None:
    source = random.Random(3)
    pieces = [prompt for _, prompt, _, _ in POSITIVES] + [prompt for _, prompt in NEGATIVES]
    pieces += [
        "(",
        ")",
        ":1.3)",
        "（",
        "）",
        "[",
        "]",
        "\\",
        "，",
        ", ",
        " ",
        "\n",
        "的",
        "🐱",
        "\x00",
        "。。",
        "8K",
        "几",
        "1.5",
    ]
    for _ in range(600):
        prompt = "".join(source.choices(pieces, k=source.randrange(1, 6)))
        try:
            parse_weights(prompt)
            well_formed = True
        except StyleError:
            well_formed = False
        for finding in coach(prompt):
            start, end = finding.span
            assert 0 <= start <= end <= len(prompt)
            assert finding.fix.prompt != prompt
            assert finding.fix.prompt.strip()
            if well_formed:
                parse_weights(finding.fix.prompt)


@pytest.mark.parametrize("piece", ["几棵树，", "(几棵树:1.2)，", "一只猫和", "美丽", "白天夜晚", "[水墨风]"])
def test_the_longest_prompts_stay_bearable(piece: str) -> None:
    started = time.thread_time()
    found = coach((piece * 2000)[: 2000 // len(piece) * len(piece)])
    assert time.thread_time() - started < 2.0
    assert len(found) <= 8 * 20


def test_three_hundred_characters_take_less_than_50_ms() -> None:
    prompt = ("，".join([*ORIGINAL, "美丽梦幻的几棵树", "白天", "水墨风"]) * 3)[:300]
    assert len(prompt) == 300

    def measured_ms() -> float:
        # The thread's own time: other work on the machine does not count.
        started = time.thread_time()
        coach(prompt)
        return (time.thread_time() - started) * 1000

    assert statistics.median(measured_ms() for _ in range(7)) < 50
