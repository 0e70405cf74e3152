"""The HTTP face of the machine: its checklist, its engines, what a request will take, and the debug page's figures.

Owns these routes, behind the same login as the jobs' (`web.routes`), and what their answers hold. Knows no model: what
does is handed in.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from gradio.routes import App
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.errors import RequestError
from pipeline.request import VideoRequest
from web.checklist import Check
from web.jobs import JobManager
from web.memory import INTERVAL_S, MemoryHistory
from web.prediction import Forecast
from web.routes import NO_STORE, Handler, Refused, json_object, mount

MAX_NUMBER_DIGITS = 12


class Runtime(Protocol):
    """What the app knows of its machine; see `web.runtime.Runtime`."""

    @property
    def building_percent(self) -> int | None: ...

    def forecast(self, request: VideoRequest) -> Forecast | None: ...

    def checks(self, jobs_dir: Path) -> list[Check]: ...

    def rebuild(self) -> bool: ...

    def stop_building(self) -> None: ...

    def allocator(self) -> tuple[int, int] | None: ...


def attach(
    app: App, runtime: Runtime, manager: JobManager, history: MemoryHistory, *, jobs_dir: Path, may_rebuild: bool
) -> None:
    """Add the routes to a running Gradio app, in front of its own, behind its own login.

    Args:
        jobs_dir: whose disk is looked at.
        may_rebuild: whether those who see the page may have the engines made anew; not on a public page.
    """
    routes = _Routes(runtime, manager, history, jobs_dir, may_rebuild)
    table: tuple[tuple[str, str, Handler], ...] = (
        ("POST", "/predict", routes.predict),
        ("GET", "/machine", routes.machine),
        ("POST", "/engines/rebuild", routes.rebuild),
        ("POST", "/engines/stop", routes.stop),
        ("GET", "/memory", routes.memory),
        ("GET", "/jobs/{job_id}/events", routes.events),
    )
    mount(app, table)


class _Routes:
    def __init__(
        self, runtime: Runtime, manager: JobManager, history: MemoryHistory, jobs_dir: Path, may_rebuild: bool
    ) -> None:
        self._runtime, self._manager, self._history = runtime, manager, history
        self._jobs_dir, self._may_rebuild = jobs_dir, may_rebuild

    async def predict(self, request: Request) -> Response:
        fields: Any = (await json_object(request)).get("request")
        if not isinstance(fields, Mapping):
            raise RequestError("request", fields, "an object with the fields of a request", "包含请求各字段的对象")
        wanted = VideoRequest.from_mapping({"prompt": "-", **fields})
        # In a thread: it asks the GPU and solves a small system, and the streams must not wait for that.
        told = await asyncio.to_thread(self._runtime.forecast, wanted)
        if told is None:
            return JSONResponse({}, 202, NO_STORE)
        return JSONResponse(dataclasses.asdict(told), headers=NO_STORE)

    async def machine(self, _: Request) -> Response:
        return await self._answer()

    async def rebuild(self, _: Request) -> Response:
        self._allowed()
        if not self._runtime.rebuild():
            en, zh = "The model is being loaded already.", "模型已在载入中。"
            raise Refused(409, "engines", en, zh)
        return await self._answer(202)

    async def stop(self, _: Request) -> Response:
        self._allowed()
        self._runtime.stop_building()
        return await self._answer()

    async def memory(self, request: Request) -> Response:
        next_number, samples = self._history.since(_number(request))
        rows = [dataclasses.astuple(sample) for sample in samples]
        names = ("process", "device", "allocated", "reserved")
        told = {"next": next_number, "interval_ms": round(1000 * INTERVAL_S), "names": names, "samples": rows}
        return JSONResponse(told, headers=NO_STORE)

    async def events(self, request: Request) -> Response:
        next_number, events = self._manager.get(request.path_params["job_id"]).events.since(_number(request))
        told = {"next": next_number, "events": [dataclasses.astuple(event) for event in events]}
        return JSONResponse(told, headers=NO_STORE)

    def _allowed(self) -> None:
        if not self._may_rebuild:
            en = "This page is public: engines are rebuilt where the app was started, with --rebuild-engines."
            raise Refused(403, "engines", en, "此页面是公开的：请在启动应用处使用 --rebuild-engines 重建引擎。")

    async def _answer(self, status: int = 200) -> Response:
        checks = await asyncio.to_thread(self._runtime.checks, self._jobs_dir)
        told = {
            "checks": [dataclasses.asdict(check) for check in checks],
            "building_percent": self._runtime.building_percent,
            "may_rebuild": self._may_rebuild,
        }
        return JSONResponse(told, status, NO_STORE)


def _number(request: Request) -> int:
    text = request.query_params.get("since", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS):
        raise RequestError("since", text, "a whole number from 0", "从 0 开始的整数")
    return int(text)
