"""The HTTP face of the prompt studio: advice while one types, the final prompt, style files, pictures.

Owns these routes, behind the same login as the jobs' (`web.routes`), and what their answers hold. The advice itself is
`styles.coach`'s. Positions in an answer count UTF-16 units, as the page's scripts do.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from gradio.routes import App
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

import styles
from pipeline.errors import RequestError
from pipeline.request import MAX_PROMPT_CHARS
from pipeline.tokens import Fit
from styles import Style, StyleError, WeightedText
from web.routes import FOR_EVER, NO_STORE, Handler, Refused, json_body, json_object, mount
from web.shelf import StyleShelf

STILLS = Path(__file__).resolve().parents[1] / "assets" / "stills"
MAX_STYLES_BYTES = 512 * 1024

_DIGITS = 3

Measure = Callable[[str], Fit | None]
"""Tokens of a text against the encoder's limit; None while no model is loaded."""


def attach(app: App, shelf: StyleShelf, measure: Measure) -> Studio:
    """Add the routes to a running Gradio app, in front of its own, behind its own login."""
    studio = Studio(shelf, measure)
    table: tuple[tuple[str, str, Handler], ...] = (
        ("POST", "/coach", studio.coach),
        ("POST", "/explain", studio.explain),
        ("POST", "/styles", studio.load_styles),
        ("GET", "/stills/{name}", studio.still),
    )
    mount(app, table)
    return studio


def stills() -> dict[str, Path]:
    """The pictures that are there, by file name."""
    return {path.name: path for path in sorted(STILLS.glob("*.webp"))}


def advise(prompt: str, style: Style | None, measure: Measure) -> dict[str, Any]:
    """What the page shows under a prompt.

    Returns:
        parts: `[{"kind", "start", "end", "text"}]`; by_style: kinds of part that the chosen style brings;
        findings: `[{"rule", "start", "end", "message_zh", "message_en", "fix": {"kind", "text", "prompt"}}]`;
        missing: the same, by the kind of part that the prompt does not have;
        error: malformed weights, see `problem`, or None; tokens: `{"num", "max"}` of the final prompt, or None.
    """

    def ends(span: tuple[int, int]) -> dict[str, int]:
        return {"start": _units(prompt, span[0]), "end": _units(prompt, span[1])}

    answer: dict[str, Any] = {"error": None, "tokens": None}
    try:
        final = styles.apply(prompt, style)
    except StyleError as error:
        answer["error"] = problem(error, prompt)
    else:
        answer["tokens"] = _tokens(measure(final.prompt))
    answer["parts"] = [{"kind": part.kind, "text": part.text, **ends(part.span)} for part in styles.parts(prompt)]
    answer["by_style"] = list(_kinds_of(style)) if style else []
    findings = styles.coach(prompt)
    found = {part["kind"] for part in answer["parts"]}
    missing = [kind for kind in styles.PART_KINDS if kind not in found]
    # Missing parts are told in the recommended order.
    told = [_finding(finding, ends(finding.span)) for finding in findings if finding.rule == "missing_part"]
    answer["missing"] = dict(zip(missing, told, strict=False))  # a prompt of commas has none of them, and no advice
    answer["findings"] = [_finding(one, ends(one.span)) for one in findings if one.rule != "missing_part"]
    return answer


def explain(prompt: str, negative_prompt: str, style: Style | None, measure: Measure) -> dict[str, Any]:
    """What the *i* button shows: the exact final prompt, what of it the encoder reads, and about the style.

    Returns:
        positive, negative: `{"runs": [{"text", "weight", "kept"}], "tokens": {"num", "max"} | None}` or None; a run's
        `text` is written in the weight syntax, and is cut behind its first `kept` units.
        style: its fields or None. error: see `problem`, or None.
    """
    answer: dict[str, Any] = {"positive": None, "negative": None, "style": None, "error": None}
    if style is not None:
        answer["style"] = dataclasses.asdict(style)
    try:
        final = styles.apply(prompt, style, negative_prompt)
    except StyleError as error:
        answer["error"] = problem(error, negative_prompt if error.field == "negative_prompt" else prompt)
        return answer
    for name, runs in (("positive", final.positive), ("negative", final.negative)):
        fit = measure("".join(run.text for run in runs))
        answer[name] = {"runs": _drawn(runs, fit), "tokens": _tokens(fit)}
    return answer


def problem(error: StyleError, text: str) -> dict[str, Any]:
    """A mistake as JSON: field, sentence in both languages, and where in `text` it is, or None."""
    position = None if error.position is None else _units(text, error.position)
    told = {"field": error.field, "message_en": error.message_en, "message_zh": error.message_zh}
    return {**told, "position": position}


def _finding(finding: styles.Finding, place: dict[str, int]) -> dict[str, Any]:
    told = {name: getattr(finding, name) for name in ("rule", "message_zh", "message_en")}
    return {**told, "fix": dataclasses.asdict(finding.fix), **place}


def _tokens(fit: Fit | None) -> dict[str, int] | None:
    return {"num": fit.num_tokens, "max": fit.max_tokens} if fit else None


def _drawn(runs: Sequence[WeightedText], fit: Fit | None) -> list[dict[str, Any]]:
    drawn: list[dict[str, Any]] = []
    left = fit.kept_chars if fit else sum(len(run.text) for run in runs)
    for run in runs:
        text = styles.print_weights((run,), _DIGITS)
        kept = text
        if left < len(run.text):
            kept = styles.print_weights((WeightedText(run.text[:left], run.weight),), _DIGITS) if left else ""
            if kept and run.weight != 1.0:
                kept = kept[: kept.rindex(":")]
        drawn.append({"text": text, "weight": run.weight, "kept": _units(kept, len(kept))})
        left = max(0, left - len(run.text))
    return drawn


def _units(text: str, position: int) -> int:
    """A position in code points as one in UTF-16 units."""
    return position + sum(ord(char) > 0xFFFF for char in text[:position])


@lru_cache(256)
def _kinds_of(style: Style) -> tuple[str, ...]:
    """Which parts of a prompt the style's own words are, for what a person need not write."""
    found = {part.kind for part in styles.parts(style.prompt.replace("{prompt}", ""))}
    return tuple(sorted(found & {"light", "style", "quality"} | {"style"}))


class Studio:
    """The routes' handlers. Advice is given by one thread, so that it never takes more than one core from a clip."""

    def __init__(self, shelf: StyleShelf, measure: Measure) -> None:
        self._shelf = shelf
        self._measure = measure
        self._stills = stills()
        self._worker = ThreadPoolExecutor(1, "studio")

    def warm_up(self) -> None:
        """Load the word lists and the dictionary in the background."""
        self._worker.submit(styles.warm_up)

    async def coach(self, request: Request) -> Response:
        asked = await _asked(request, "prompt", "style")
        return await self._answer(advise, asked["prompt"], self._style(asked), self._measure)

    async def explain(self, request: Request) -> Response:
        asked = await _asked(request, "prompt", "negative_prompt", "style")
        style = self._style(asked)
        return await self._answer(explain, asked["prompt"], asked["negative_prompt"], style, self._measure)

    async def load_styles(self, request: Request) -> Response:
        """The body is the file itself; its name is the query's `name`, for the sentences of an error."""
        content = await json_body(request, MAX_STYLES_BYTES)
        try:
            taken = self._shelf.load(content, request.query_params.get("name", "")[:100] or "styles.json")
        except StyleError as error:
            return Refused(422, "style", error.message_en, error.message_zh).response
        loaded = [{"key": key, **listed(style, "")} for key, style in taken.items()]
        return JSONResponse({"styles": loaded}, headers=NO_STORE)

    async def still(self, request: Request) -> Response:
        path = self._stills.get(request.path_params["name"])
        if path is None:
            raise Refused(404, "name", "There is no such picture.", "没有这张图片。")
        return FileResponse(path, media_type="image/webp", headers=FOR_EVER)

    def _style(self, asked: Mapping[str, str]) -> Style | None:
        return self._shelf.get(asked["style"])

    async def _answer(self, make: Callable[..., dict[str, Any]], *args: Any) -> Response:
        answer = await asyncio.get_running_loop().run_in_executor(self._worker, make, *args)
        return JSONResponse(answer, headers=NO_STORE)


def listed(style: Style, picture: str) -> dict[str, str]:
    """What a style's card shows."""
    return {
        "name": style.name,
        "name_zh": style.name_zh,
        "suits": style.suits,
        "suits_zh": style.suits_zh,
        "picture": picture,
    }


async def _asked(request: Request, *names: str) -> dict[str, str]:
    """The members of a request's body, all of them text that a prompt may be."""
    body = await json_object(request)
    for name in body:
        if name not in names:
            raise RequestError(name, "unknown field", " and ".join(names), "、".join(names))
    for name in names:
        text = body.setdefault(name, "")
        if not isinstance(text, str) or any("\ud800" <= char <= "\udfff" for char in text):
            raise RequestError(name, text, "text", "文本")
        if len(text) > MAX_PROMPT_CHARS:
            limit = MAX_PROMPT_CHARS
            raise RequestError(name, f"{len(text)}", f"at most {limit} characters", f"最多 {limit} 个字符")
    return body
