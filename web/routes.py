"""The HTTP face of the jobs, mounted on Gradio's own app and guarded by Gradio's own login.

Owns the paths, status codes and limits of docs/streaming.md. Knows no model and no layout. No text of a client is ever
made into a path: ids are looked up, never joined.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from gradio.routes import App
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.errors import RequestError
from pipeline.request import VideoRequest
from web.job import Job
from web.jobs import JobConflict, JobManager, QueueFull, UnknownJob
from web.memory import MemoryMonitor
from web.ranges import serve_prefix

PREFIX = "/gradio_api/wan"
"""Under Gradio's own API prefix, because its Node front end answers everything else itself."""
MAX_BODY_BYTES = 64 * 1024
MAX_OFFSET_DIGITS = 15

_NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_REVALIDATE = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
_UNBUFFERED = {**_NO_STORE, "x-accel-buffering": "no"}  # for proxies that would collect the stream

Handler = Callable[[Request], Awaitable[Response]]


class Runtime(Protocol):
    """What the app knows of its model."""

    def status(self) -> Mapping[str, Any]:
        """JSON members for `GET /status`: model, backend, trt, encoder, ready, stage, …"""
        ...


class _Refused(Exception):
    """An answer other than the one asked for: status, the field at fault, the sentence in both languages."""

    def __init__(self, status: int, field: str, message_en: str, message_zh: str, **headers: str) -> None:
        super().__init__(message_en)
        self.response = JSONResponse(
            {"field": field, "message_en": message_en, "message_zh": message_zh},
            status,
            {**_NO_STORE, **{name.replace("_", "-"): value for name, value in headers.items()}},
        )


def attach(app: App, manager: JobManager, runtime: Runtime, memory: MemoryMonitor) -> None:
    """Add the routes to a running Gradio app, in front of its own, behind its own login.

    Args:
        app: what `demo.launch(prevent_thread_lock=True)` returns first.
        manager: runs the jobs.
        runtime: asked at each `GET /status`.
        memory: asked at each `GET /status`.
    """
    routes = _Routes(manager, runtime, memory)
    table: tuple[tuple[str, str, Handler], ...] = (
        ("POST", "/jobs", routes.submit),
        ("GET", "/jobs/{job_id}", routes.state),
        ("GET", "/jobs/{job_id}/stream", routes.stream),
        ("GET", "/jobs/{job_id}/first.jpg", routes.poster),
        ("GET", "/jobs/{job_id}/video.mp4", routes.video),
        ("POST", "/jobs/{job_id}/cancel", routes.cancel),
        ("GET", "/status", routes.status),
    )
    app.router.routes[:0] = [Route(PREFIX + path, _guarded(app, handler), methods=[m]) for m, path, handler in table]


async def logged_in(app: App, request: Request) -> bool:
    """Whether Gradio's `login_check` would let this request pass.

    Routes added to Gradio's app are not covered by its `auth=`; this asks what its `get_current_user` asks.
    """
    if app.auth_dependency is not None:
        user = app.auth_dependency(request)
        return (await user if inspect.isawaitable(user) else user) is not None
    if app.auth is None:
        return True
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    token = next((request.cookies[name] for name in names if request.cookies.get(name)), None)
    return app.tokens.get(token) is not None


def _guarded(app: App, handler: Handler) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            if not await logged_in(app, request):
                raise _Refused(401, "login", "Please log in.", "请先登录。")
            return await handler(request)
        except _Refused as refused:
            return refused.response
        except RequestError as error:
            return _Refused(422, error.field, error.message_en, error.message_zh).response
        except UnknownJob:
            return _Refused(404, "id", "There is no such job.", "没有这个任务。").response
        except JobConflict:
            zh = "此编号已属于另一个请求。"
            return _Refused(409, "id", "This id belongs to another request.", zh).response
        except QueueFull as full:
            return _Refused(503, "queue", full.message_en, full.message_zh, retry_after="30").response

    return endpoint


class _Routes:
    def __init__(self, manager: JobManager, runtime: Runtime, memory: MemoryMonitor) -> None:
        self._manager = manager
        self._runtime = runtime
        self._memory = memory

    async def submit(self, request: Request) -> Response:
        arrived_s = time.perf_counter()
        body = await _json_object(request)
        for field in body:
            if field not in ("id", "request"):
                raise RequestError(field, "unknown field", "id and request", "id 和 request")
        job_id, fields = body.get("id"), body.get("request")
        if not isinstance(job_id, str):
            raise RequestError("id", job_id, "32 hexadecimal digits, lower case", "32 位小写十六进制数字")
        if not isinstance(fields, dict):
            raise RequestError("request", fields, "an object with the fields of a request", "包含请求各字段的对象")
        try:
            job, created = self._manager.submit(job_id, VideoRequest.from_mapping(fields), arrived_s=arrived_s)
        except OSError as error:
            message = "The server cannot store the job; its disk may be full."
            raise _Refused(507, "server", message, "服务器无法保存任务，磁盘可能已满。") from error
        return self._state(job, 201 if created else 200)

    async def state(self, request: Request) -> Response:
        return self._state(self._job(request))

    async def stream(self, request: Request) -> Response:
        job = self._job(request)
        offset = _offset(request)
        ended, size_bytes = job.state.ended, job.log_bytes
        if ended and offset > size_bytes:
            zh = f"偏移量超出末尾（共 {size_bytes} 字节）。"
            en = f"The offset is behind the end ({size_bytes} bytes)."
            raise _Refused(416, "offset", en, zh, content_range=f"bytes */{size_bytes}")
        if not ended and not size_bytes and not self._manager.starts_now(job):
            return self._state(job, 202)  # a browser has six connections an origin: none is held only to wait
        return StreamingResponse(job.read(offset), media_type="video/mp4", headers=_UNBUFFERED)

    async def poster(self, request: Request) -> Response:
        job = self._job(request)
        if job.log_bytes:
            await job.until_poster()  # the init segment is out, frame 0 is at work: a moment, and no further request
        if not job.has_poster:
            return self._none_yet(job)
        etag = f'"{job.id}-first"'
        size_bytes = job.poster_path.stat().st_size
        return serve_prefix(request, job.poster_path, size_bytes, etag=etag, media_type="image/jpeg", headers=_FOR_EVER)

    async def video(self, request: Request) -> Response:
        job = self._job(request)
        finished = job.state.ended and job.video_path.exists()
        if not finished and not job.frames:
            return self._none_yet(job)
        path = job.video_path if finished else job.log_path
        size_bytes = path.stat().st_size if finished else job.log_bytes
        wanted = job.request
        name = f"wan_{wanted.seed}_{wanted.width}x{wanted.height}_{wanted.seconds}s"
        if job.frames < wanted.num_frames:
            name += "_partial"
        disposition = "attachment" if request.query_params.get("download") == "1" else "inline"
        headers = {**_REVALIDATE, "content-disposition": f'{disposition}; filename="{name}.mp4"'}
        etag = f'"{job.id}-{"file" if finished else "log"}-{size_bytes}"'
        return serve_prefix(request, path, size_bytes, etag=etag, media_type="video/mp4", headers=headers)

    async def cancel(self, request: Request) -> Response:
        return self._state(self._manager.cancel(request.path_params["job_id"]))

    async def status(self, _: Request) -> Response:
        jobs = {"busy": self._manager.busy, "queue_length": self._manager.queue_length}
        memory = dataclasses.asdict(self._memory.read())
        return JSONResponse({**self._runtime.status(), **jobs, "memory": memory}, headers=_NO_STORE)

    def _job(self, request: Request) -> Job:
        return self._manager.get(request.path_params["job_id"])

    def _state(self, job: Job, status: int = 200) -> Response:
        return JSONResponse(self._manager.state(job.id), status, _NO_STORE)

    def _none_yet(self, job: Job) -> Response:
        if job.state.ended:
            raise _Refused(404, "id", "This job ended before its first frame.", "任务在第一帧之前已结束。")
        return self._state(job, 202)


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_OFFSET_DIGITS):
        raise RequestError("offset", text, "a whole number of bytes from 0", "从 0 开始的整数字节数")
    return int(text)


async def _json_object(request: Request) -> dict[str, Any]:
    # A page of another origin can send plain text without asking, but not this type.
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "body", "Content-Type must be application/json.", "Content-Type 必须为 application/json。")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, "body", f"At most {MAX_BODY_BYTES} bytes.", f"最多 {MAX_BODY_BYTES} 字节。")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError("body", f"{len(body)} bytes", "a JSON object", "JSON 对象") from error
    if not isinstance(found, dict):
        raise RequestError("body", type(found).__name__, "a JSON object", "JSON 对象")
    return found
