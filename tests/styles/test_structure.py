"""Parts of a prompt, segmentation, the word lists, and the examples."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from pipeline.request import VideoRequest
from styles import apply, load_examples, load_styles, parts
from styles.lexicon import find, segment, word_list


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "一只青灰色机械猫在雨夜东京街头踱步,赛博朋克风格",
            "主体:一只青灰色机械猫|场景:雨夜东京街头|风格:赛博朋克风格",
        ),
        (
            "穿红斗篷的少女站在雪山悬崖边,逆光金边,胶片颗粒感,8K细节",
            "主体:穿红斗篷的少女|场景:雪山悬崖边|光影:逆光金边|风格:胶片颗粒感|画质:8K细节",
        ),
        ("静卧的猎豹", "主体:静卧的猎豹"),
        ("咖啡馆,木质吧台", "场景:咖啡馆|主体:木质吧台"),
        ("(机械猫:1.5)在(东京涩谷十字路口:1.2)", "主体:机械猫|场景:东京涩谷十字路口"),
        ("一个红色的球在深蓝色背景上从左向右移动", "主体:一个红色的球|场景:深蓝色背景上"),
        ("美丽梦幻震撼的高级画面", ""),
        ("阳光明媚的海滩,夜景", "光影:阳光明媚|场景:海滩|场景:夜景"),
        (
            "a red ball on a dark blue background, neon lights",
            "主体:red ball|场景:dark blue background|光影:neon lights",
        ),
        ("", ""),
    ],
)
def test_parts(prompt: str, expected: str) -> None:
    assert "|".join(f"{part.kind_zh}:{part.text}" for part in parts(prompt)) == expected


def test_parts_point_into_the_prompt_as_typed() -> None:
    prompt = r"（机械猫：1.5）在(东京\(涩谷\)街头:1.2)"
    assert [prompt[slice(*part.span)] for part in parts(prompt)] == ["机械猫", "东京", "涩谷", "街头"]


@pytest.mark.parametrize("text", ["", " \n\t ", "猫 dog，8K。🐱\x00", "（几棵：1.3）\r\n\u3000树", "\ud800"])
def test_segments_joined_are_the_text(text: str) -> None:
    tokens = segment(text)
    assert "".join(token.text for token in tokens) == text
    assert all(text[token.start : token.end] == token.text for token in tokens)


def test_words_are_found_whole_and_longest_first() -> None:
    found = find(segment("风光里的逆光金边，A Film Still"), {"光", "逆光", "film", "film still"})
    assert [match.word for match in found] == ["逆光", "film still"]


def test_no_word_has_two_roles() -> None:
    lists = word_list("parts")
    for first, second in combinations(("scene", "light", "style", "quality", "neutral", "colors"), 2):
        assert not set(lists[first]) & set(lists[second]), (first, second)


def test_examples_fill_a_request() -> None:
    styles, examples = load_styles(), load_examples()
    assert examples[0].prompt_zh == "一只青灰色机械猫在雨夜东京街头踱步,赛博朋克风格"
    for example in examples:
        assert apply(example.prompt_zh, styles[example.style]).prompt
        assert example.prompt_en.isascii()
        VideoRequest.from_mapping({"prompt": example.prompt_zh, "style": example.style, **example.settings})
    used = [example.style for example in examples]
    assert all(used.count(name) >= 2 for name in styles)


def test_a_fresh_process_stays_quiet_and_light(tmp_path: Path) -> None:
    """Warnings as errors with jieba compiled anew; no torch, no gradio, nothing said, no file left behind."""
    code = (
        "import sys, styles\n"
        "assert 'jieba' not in sys.modules\n"
        "styles.warm_up()\n"
        "assert styles.coach('几棵树')\n"
        "assert not {'torch', 'gradio', 'pipeline'} & set(sys.modules)\n"
    )
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", f"pycache_prefix={tmp_path / 'compiled'}", "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list((tmp_path / "temporary").iterdir())
