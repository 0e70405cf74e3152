"""What the sliders, the weights and the styles do: measured by moving one of them and holding all else.

Owns which values are tried and what must grow. Does not know how clips are made or read.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.quality.measure import Measured
from bench.quality.prompts import Prompt
from bench.quality.run import Runner
from bench.quality.score import obedience, percent
from pipeline.request import VideoRequest
from training.attributes import STYLES

STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9)
SCALES = (1.0, 3.0, 5.0, 7.0, 9.0)
STEPS = (1, 2, 4, 8)
WEIGHTS = (0.5, 1.0, 1.5)
TOLERANCE = 0.05
"""Of log-odds: less is no change."""


@dataclass(frozen=True, slots=True)
class WeightCase:
    """A prompt with one word to be weighted.

    Attributes:
        before, word, after: the prompt in three parts.
        head, value: what the word is about, as the judges call it.
    """

    before: str
    word: str
    after: str
    head: str
    value: str

    def prompt(self, weight: float) -> str:
        """The prompt with the word at this weight."""
        return f"{self.before}({self.word}:{weight:g}){self.after}"


# Each says two things of one kind, between which weights have to decide: of a word that stands alone there is nothing
# left to grow, judges are sure of it at half its weight already.
WEIGHT_CASES: tuple[WeightCase, ...] = (
    WeightCase("一只", "红色", "和蓝色相间的球", "colour", "red"),
    WeightCase("一棵树，", "下雪", "，下雨", "weather", "snow"),
    WeightCase("一辆黄色的汽车，", "夜晚", "，黄昏", "time_of_day", "night"),
    WeightCase("一只红色的球，", "水墨画", "，像素画", "style", "Chinese Ink Wash"),
    WeightCase("一只白色的猫，", "森林里", "，沙漠里", "scene", "forest"),
    WeightCase("一只", "蓝色", "和黄色相间的气球", "colour", "blue"),
    WeightCase("一只猫在草地上，", "大雾", "，下雪", "weather", "fog"),
    WeightCase("沙漠里的一辆车，", "黄昏", "，夜晚", "time_of_day", "dusk"),
    WeightCase("一辆蓝色的汽车，", "像素画", "，油画", "style", "Pixel Art"),
    WeightCase("一只红色的气球，", "沙漠里", "，海上", "scene", "desert"),
    WeightCase("a ", "green", " and pink box", "colour", "green"),
    WeightCase("a red car, ", "rain", " and snow", "weather", "rain"),
    WeightCase("草地上的一只气球，", "夜晚", "，白天", "time_of_day", "night"),
    WeightCase("一只猫在草地上，", "油画", "，水彩画", "style", "Oil Painting"),
    WeightCase("a yellow ball, ", "on a meadow", ", in the desert", "scene", "meadow"),
    WeightCase("一辆", "白色", "和黑色的汽车", "colour", "white"),
    WeightCase("森林里的一只箱子，", "下雨", "，大雾", "weather", "rain"),
    WeightCase("a blue boat on the sea, ", "at sunset", ", at night", "time_of_day", "dusk"),
    WeightCase("a girl in a red cloak, ", "paper cut art", ", pixel art", "style", "Paper Cut"),
    WeightCase("一辆悬浮车，", "未来城市", "，东京街头", "scene", "future_city"),
    WeightCase("一盏", "橙色", "和紫色的灯笼", "colour", "orange"),
    WeightCase("雪山前的一棵松树，", "下雪", "，大雾", "weather", "snow"),
    WeightCase("雪山前的一棵松树，", "白天", "，夜晚", "time_of_day", "day"),
    WeightCase("森林里的一只鸟，", "水彩画", "，水墨画", "style", "Watercolor"),
    WeightCase("一个白色的箱子，", "东京街头", "，森林里", "scene", "tokyo_street"),
    WeightCase("a ", "yellow", " and blue bird", "colour", "yellow"),
    WeightCase("一艘", "绿色", "和白色的帆船", "colour", "green"),
    WeightCase("一只", "粉色", "和绿色相间的气球", "colour", "pink"),
    WeightCase("一只白色的机械猫，", "黑白电影", "，赛博朋克", "style", "Film Noir"),
    WeightCase("a red cat ", "in a café", ", in a forest", "scene", "cafe"),
)
STYLED_PROMPTS: tuple[tuple[str, str], ...] = (
    ("一只红色的猫在草地上", "cat"),
    ("一辆蓝色的汽车在城市街道上行驶", "car"),
    ("穿红色斗篷的少女站在森林里", "girl"),
    ("一艘白色的帆船在海上，黄昏", "boat"),
    ("一棵松树，雪山前", "pine"),
    ("一只黄色的气球飘过沙漠", "balloon"),
    ("a green ball on a meadow", "ball"),
    ("a purple balloon in a future city at night", "balloon"),
    ("一只橙色的机械猫坐在咖啡馆里", "mechanical_cat"),
    ("三棵松树，雪山前，黄昏", "pine"),
    ("一盏红色的灯笼在东京街头，夜晚", "lantern"),
    ("两只白色的鸟飞过海面", "bird"),
    ("一只猎豹在沙漠里奔跑", "cheetah"),
    ("一个紫色的盒子在森林里", "box"),
    ("一辆绿色的悬浮车飞过未来城市", "hover_car"),
    ("穿白色斗篷的少女走在草地上", "girl"),
    ("一棵树，草地上，下雪", "tree"),
    ("一只粉色的气球升上天空，海边", "balloon"),
    ("a black cat walking on a Tokyo street", "cat"),
    ("two red balls on a meadow at dusk", "ball"),
    ("a blue boat on the sea at night", "boat"),
    ("a yellow car in the desert", "car"),
    ("a white lantern in a forest at night", "lantern"),
    ("four brown trees on a snowy mountain", "tree"),
)
Seeded = Callable[[str], VideoRequest]


def denoise_strength(runner: Runner, prompts: Sequence[Prompt], request: Seeded) -> dict[str, Any]:
    """Motion and change from block to block at each strength, and whether both only grow."""

    def figures(clips: Sequence[Measured]) -> dict[str, float]:
        return {name: _mean([getattr(c, name) for c in clips]) for name in ("motion", "block_change", "flicker")}

    found = _swept(runner, prompts, request, "denoise_strength", STRENGTHS, figures)
    growing = {name: grows([found[f"{s:g}"][name] for s in STRENGTHS]) for name in ("motion", "block_change")}
    return found | {"monotonic": growing}


def guidance_scale(runner: Runner, prompts: Sequence[Prompt], request: Seeded) -> dict[str, Any]:
    """How well prompts are obeyed, and how much moves, at each scale."""
    return _swept(runner, prompts, request, "guidance_scale", SCALES, _obeyed(prompts))


def steps(runner: Runner, prompts: Sequence[Prompt], request: Seeded) -> dict[str, Any]:
    """The same at each number of steps."""
    return _swept(runner, prompts, request, "num_inference_steps", STEPS, _obeyed(prompts))


def seed(runner: Runner, prompts: Sequence[Prompt], request: Seeded) -> dict[str, Any]:
    """Whether a seed gives its clip again, and the mean difference of another seed's, in 8-bit levels."""
    first = [request(prompt.text) for prompt in prompts]
    others = [dataclasses.replace(r, seed=r.seed + 1) for r in first]
    same, difference = True, 0.0
    for one, again, other in zip(*(runner.maker.make(some) for some in (first, first, others)), strict=True):
        same &= bool((one == again).all())
        difference += float((one.float() - other.float()).abs().mean()) / len(first)
    return {"same_seed_same_clip": same, "other_seed_difference": round(difference, 3)}


def weights(runner: Runner, cases: Sequence[WeightCase], request: Seeded, seeds: int = 2) -> dict[str, Any]:
    """Log-odds of what a word is about, at each of its weights, and the share of cases in which they only grow."""
    asked = [
        dataclasses.replace(request(case.prompt(weight)), seed=number)
        for case, weight, number in itertools.product(cases, WEIGHTS, range(seeds))
    ]
    read = iter(runner.measured(asked))
    rows: list[dict[str, Any]] = []
    for case in cases:
        odds = [_mean([next(read).log_odds(case.head, case.value) for _ in range(seeds)]) for _ in WEIGHTS]
        rows.append({"prompt": case.prompt(1.0), "head": case.head, "log_odds": odds, "monotonic": grows(odds)})
    share = percent([row["monotonic"] for row in rows])
    return {"weights": list(WEIGHTS), "monotonic_percent": share, "cases": rows}


def styles(runner: Runner, cases: Sequence[tuple[str, str]], request: Seeded) -> dict[str, dict[str, float]]:
    """Per cent of clips that are read as the style that was chosen for them, by style; and as what they are of.

    Guidance shows a style's marks at the cost of what stands in the picture: the one figure says nothing alone.
    """
    asked = [dataclasses.replace(request(text), style=style) for style in STYLES for text, _ in cases]
    read = iter(runner.measured(asked))
    clips = {style: [(next(read), subject) for _, subject in cases] for style in STYLES}
    return {
        "style_fidelity": {style: percent([c.answer("style") == style for c, _ in of]) for style, of in clips.items()},
        "style_subject": {style: percent([c.answer("subject") == s for c, s in of]) for style, of in clips.items()},
    }


def _swept(
    runner: Runner,
    prompts: Sequence[Prompt],
    request: Seeded,
    field: str,
    values: Sequence[float],
    figures: Callable[[Sequence[Measured]], dict[str, float]],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for value in values:
        asked = [dataclasses.replace(request(prompt.text), **{field: value}) for prompt in prompts]
        found[f"{value:g}"] = figures(runner.measured(asked))
    return found


def _obeyed(prompts: Sequence[Prompt]) -> Callable[[Sequence[Measured]], dict[str, float]]:
    def figures(clips: Sequence[Measured]) -> dict[str, float]:
        shown = {name: _mean([getattr(clip, name) for clip in clips]) for name in ("motion", "sharpness", "flicker")}
        return {"obedience": obedience(prompts, dict(enumerate(clips))), **shown}

    return figures


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def grows(values: Sequence[float]) -> bool:
    """Whether no value is smaller than the one before it by more than the tolerance."""
    return all(after >= before - TOLERANCE for before, after in itertools.pairwise(values))
