"""Styles as data: the shipped twelve and files in the SDXL Prompt Styler format.

Owns what a style is and what makes a file of them valid. Does not know how a style meets a prompt (`styles.fusion`).

A file is a JSON list of objects with `name`, `prompt` (with `{prompt}` where a person's words go) and, optionally,
`negative_prompt`; beside these our own `name_zh`, `suits`, `suits_zh`, `looks`, `looks_zh`, `phrase_zh` and `fusion`,
all optional. Other keys belong to other programs and are left alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from styles.errors import StyleError
from styles.weights import MAX_WEIGHT, WeightedText, multiply, parse_weights

SHIPPED = Path(__file__).with_name("styles.json")
PLACEHOLDER = "{prompt}"

_TEXT_KEYS = ("name_zh", "negative_prompt", "suits", "suits_zh", "looks", "looks_zh", "phrase_zh")


@dataclass(frozen=True, slots=True)
class Fusion:
    """How strongly a style's words act against the prompt's. Where they stand is said by the template itself.

    Args:
        weight: multiplies the weight of the style's words; 0 < weight <= 3.
        emphasis: the words of the template that `weight` acts on; empty for all of them.
        guidance_scale: 1 to 20 where the style needs its own, or None.
        num_inference_steps: 1 to 100 where the style needs its own, or None.
    """

    weight: float = 1.0
    emphasis: tuple[str, ...] = ()
    guidance_scale: float | None = None
    num_inference_steps: int | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """One style.

    Args:
        name, name_zh: shown in the dropdown; `name` identifies it.
        prompt: template with `{prompt}` in it, weights allowed.
        negative_prompt: what the style avoids, weights allowed; may be "".
        suits, suits_zh: the scenes it suits.
        looks, looks_zh: what it looks like.
        phrase_zh: recommended Chinese phrase for a person's own prompt.
        fusion: how its words act against the prompt's.
    """

    name: str
    prompt: str
    name_zh: str
    negative_prompt: str = ""
    suits: str = ""
    suits_zh: str = ""
    looks: str = ""
    looks_zh: str = ""
    phrase_zh: str = ""
    fusion: Fusion = field(default_factory=Fusion)


def load_styles(*paths: Path) -> dict[str, Style]:
    """The shipped twelve in their order, then those of `paths`, by name.

    Raises:
        StyleError: a file that cannot be read, or an entry that cannot be used; says which entry and why.
    """
    styles: dict[str, Style] = {}
    for path in (SHIPPED, *paths):
        try:
            content = path.read_bytes()
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise StyleError(f"cannot be read: {reason}", f"无法读取：{reason}", entry=path.name) from error
        _add(styles, content, path.name)
    return styles


def read_styles(content: bytes, file_name: str) -> dict[str, Style]:
    """The styles of one file that is already in memory, by name, in its order.

    Args:
        content: the file's bytes, UTF-8.
        file_name: told in an error.

    Raises:
        StyleError: as `load_styles`.
    """
    styles: dict[str, Style] = {}
    _add(styles, content, file_name)
    return styles


def _add(styles: dict[str, Style], content: bytes, file_name: str) -> None:
    """Read a file into `styles`, in which no name may stand twice."""
    for number, raw in enumerate(_read_list(content, file_name), start=1):
        style = _style(raw, f"{file_name} #{number}")
        if style.name in styles:
            raise StyleError(
                "another style already has this name; rename this one",
                "已有同名风格，请改名",
                field="name",
                entry=_entry(f"{file_name} #{number}", style.name),
            )
        styles[style.name] = style


def _read_list(raw: bytes, file_name: str) -> list[Any]:
    try:
        # Community files from Windows editors often begin with a byte order mark.
        content = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise StyleError("is not UTF-8 text", "不是 UTF-8 文本", entry=file_name) from error
    except json.JSONDecodeError as error:
        raise StyleError(
            f"is not JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            f"不是有效的 JSON：第 {error.lineno} 行第 {error.colno} 列：{error.msg}",
            entry=file_name,
        ) from error
    except RecursionError as error:
        raise StyleError("is nested too deeply", "嵌套过深", entry=file_name) from error
    if not isinstance(content, list) or not content:
        raise StyleError("must be a list of styles, with at least one", "应是至少含一个风格的列表", entry=file_name)
    return cast("list[Any]", content)


def _style(raw: object, place: str) -> Style:
    if not isinstance(raw, dict):
        raise StyleError("must be an object with name and prompt", "应是含 name 与 prompt 的对象", entry=place)
    values = cast("dict[str, Any]", raw)
    name = values.get("name")
    if not isinstance(name, str) or not name.strip():
        raise StyleError("a name is missing", "缺少名称", field="name", entry=place)
    entry = _entry(place, name)
    prompt = values.get("prompt")
    if not isinstance(prompt, str):
        raise StyleError("a template is missing", "缺少模板", field="prompt", entry=entry)
    texts: dict[str, str] = {}
    for key in _TEXT_KEYS:
        value = values.get(key, "")
        if not isinstance(value, str):
            raise StyleError("must be text", "应是文本", field=key, entry=entry)
        texts[key] = value
    texts["name_zh"] = texts["name_zh"] or name
    style = Style(name=name, prompt=prompt, fusion=_fusion(values.get("fusion", {}), entry), **texts)
    _check_template(style, entry)
    return style


def _fusion(raw: object, entry: str) -> Fusion:
    if not isinstance(raw, dict):
        raise StyleError("must be an object", "应是一个对象", field="fusion", entry=entry)
    values = cast("dict[str, Any]", raw)
    known = {f.name for f in fields(Fusion)}
    for key in values:
        if key not in known:
            listed = ", ".join(sorted(known))
            raise StyleError(
                f"unknown; one of {listed}", f"未知的键；可用：{listed}", field=f"fusion.{key}", entry=entry
            )
    emphasis = values.get("emphasis", [])
    if not isinstance(emphasis, list) or not all(isinstance(w, str) and w for w in cast("list[Any]", emphasis)):
        raise StyleError("must be a list of words", "应是词语列表", field="fusion.emphasis", entry=entry)
    weight = _number(values.get("weight", 1.0), 0.0, MAX_WEIGHT, "fusion.weight", entry)
    if weight == 0.0:
        raise StyleError("must be above 0", "必须大于 0", field="fusion.weight", entry=entry)
    guidance = values.get("guidance_scale")
    if guidance is not None:
        guidance = _number(guidance, 1.0, 20.0, "fusion.guidance_scale", entry)
    steps = values.get("num_inference_steps")
    if steps is not None:
        if not isinstance(steps, int):
            raise StyleError("must be a whole number", "应是整数", field="fusion.num_inference_steps", entry=entry)
        steps = int(_number(steps, 1.0, 100.0, "fusion.num_inference_steps", entry))
    return Fusion(weight, tuple(cast("list[str]", emphasis)), guidance, steps)


def _number(value: object, low: float, high: float, key: str, entry: str) -> float:
    # NaN, which Python's JSON reader takes, fails both comparisons.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise StyleError(
            f"must be a number from {low:g} to {high:g}", f"应是 {low:g} 到 {high:g} 之间的数", field=key, entry=entry
        )
    return float(value)


def _check_template(style: Style, entry: str) -> None:
    """Everything that `fusion.apply` relies on, so that a bad file fails when it loads and not at a person's job."""
    runs = _parse(style.prompt, "prompt", entry)
    _parse(style.negative_prompt, "negative_prompt", entry)
    if not any(PLACEHOLDER in run.text for run in runs):
        raise StyleError("the template must contain {prompt}", "模板中必须有 {prompt}", field="prompt", entry=entry)
    for words in style.fusion.emphasis:
        if not any(words in piece for run in runs for piece in run.text.split(PLACEHOLDER)):
            raise StyleError(
                f"“{words}” does not occur in the template",
                f"模板中没有“{words}”",
                field="fusion.emphasis",
                entry=entry,
            )
    for run in runs:
        try:
            multiply(run.weight, style.fusion.weight)
        except StyleError as error:
            raise error.located(field="fusion.weight", entry=entry) from error


def _parse(text: str, key: str, entry: str) -> tuple[WeightedText, ...]:
    try:
        return parse_weights(text)
    except StyleError as error:
        raise error.located(field=key, entry=entry) from error


def _entry(place: str, name: str) -> str:
    return f"{place} “{name}”"
