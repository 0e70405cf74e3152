"""The HTTP face of the jobs, mounted on Gradio's own app and guarded by Gradio's own login.

Owns the paths, status codes and limits of docs/streaming.md. Knows no model and no layout. No text of a client is ever
made into a path: ids are looked up, never joined.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from gradio.routes import App
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from pipeline.errors import RequestError
from pipeline.request import VideoRequest
from web.job import Job
from web.job_errors import JobConflict, NotEnded, QueueFull, TooLate, UnknownJob
from web.jobs import JobManager
from web.memory import MemoryMonitor
from web.ranges import serve_prefix

PREFIX = "/gradio_api/wan"
"""Under Gradio's own API prefix, because its Node front end answers everything else itself."""
MAX_BODY_BYTES = 64 * 1024
MAX_OFFSET_DIGITS = 15
MAX_STATES = 200

NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_REVALIDATE = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
FOR_EVER = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
_UNBUFFERED = {**NO_STORE, "x-accel-buffering": "no"}  # for proxies that would collect the stream

Handler = Callable[[Request], Awaitable[Response]]


class Runtime(Protocol):
    """What the app knows of its model."""

    def status(self) -> Mapping[str, Any]:
        """JSON members for `GET /status`: model, backend, trt, encoder, ready, stage, …"""
        ...


class Refused(Exception):
    """An answer other than the one asked for: status, the field at fault, the sentence in both languages."""

    def __init__(self, status: int, field: str, message_en: str, message_zh: str, **headers: str) -> None:
        super().__init__(message_en)
        self.response = JSONResponse(
            {"field": field, "message_en": message_en, "message_zh": message_zh},
            status,
            {**NO_STORE, **{name.replace("_", "-"): value for name, value in headers.items()}},
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
        ("DELETE", "/jobs/{job_id}", routes.delete),
        ("POST", "/states", routes.states),
        ("POST", "/jobs/{job_id}/prompt", routes.prompt),
        ("GET", "/status", routes.status),
    )
    compress_page(app)
    mount(app, table)


def mount(app: App, table: Iterable[tuple[str, str, Handler]]) -> None:
    """Put routes (method, path below `PREFIX`, handler) in front of Gradio's own, behind its login."""
    app.router.routes[:0] = [Route(PREFIX + path, guarded(app, handler), methods=[m]) for m, path, handler in table]


def compress_page(app: App) -> None:
    """Send the page itself compressed: Gradio compresses what has a known file ending, and "/" has none.

    The streams are left alone: a compressor would hold their fragments back.
    """
    for route in app.router.routes:
        if isinstance(route, Route) and route.path == "/":
            route.app = GZipMiddleware(route.app, compresslevel=6)


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


def guarded(app: App, handler: Handler) -> Handler:
    """The handler behind Gradio's login, with what it refuses made into an answer."""

    async def endpoint(request: Request) -> Response:
        try:
            if not await logged_in(app, request):
                raise Refused(401, "login", "Please log in.", "请先登录。")
            return await handler(request)
        except Refused as refused:
            return refused.response
        except RequestError as error:
            return Refused(422, error.field, error.message_en, error.message_zh).response
        except UnknownJob:
            return Refused(404, "id", "There is no such job.", "没有这个任务。").response
        except JobConflict:
            zh = "此编号已属于另一个请求。"
            return Refused(409, "id", "This id belongs to another request.", zh).response
        except NotEnded:
            en, zh = "A job that waits or runs must be cancelled first.", "任务仍在排队或运行，请先取消。"
            return Refused(409, "id", en, zh).response
        except TooLate:
            en = "The prompt can only be changed while a later segment is still to be made."
            return Refused(409, "prompt", en, "只有在还有后续片段未生成时才能修改提示词。").response
        except QueueFull as full:
            return Refused(503, "queue", full.message_en, full.message_zh, retry_after="30").response

    return endpoint


class _Routes:
    def __init__(self, manager: JobManager, runtime: Runtime, memory: MemoryMonitor) -> None:
        self._manager = manager
        self._runtime = runtime
        self._memory = memory

    async def submit(self, request: Request) -> Response:
        arrived_s = time.perf_counter()
        body = await json_object(request)
        for field in body:
            if field not in ("id", "request", "continues"):
                raise RequestError(field, "unknown field", "id, request, continues", "id、request、continues")
        job_id, fields, continues = body.get("id"), body.get("request"), body.get("continues", "")
        if not isinstance(job_id, str):
            raise RequestError("id", job_id, "32 hexadecimal digits, lower case", "32 位小写十六进制数字")
        if not isinstance(fields, dict):
            raise RequestError("request", fields, "an object with the fields of a request", "包含请求各字段的对象")
        if not isinstance(continues, str):
            raise RequestError("continues", continues, "the id of a job", "任务编号")
        wanted = VideoRequest.from_mapping(fields)
        try:
            job, created = self._manager.submit(job_id, wanted, continues=continues, arrived_s=arrived_s)
        except OSError as error:
            message = "The server cannot store the job; its disk may be full."
            raise Refused(507, "server", message, "服务器无法保存任务，磁盘可能已满。") from error
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
            raise Refused(416, "offset", en, zh, content_range=f"bytes */{size_bytes}")
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
        headers = {**FOR_EVER, "content-disposition": _disposition(request, job.request, ".jpg")}
        return serve_prefix(request, job.poster_path, size_bytes, etag=etag, media_type="image/jpeg", headers=headers)

    async def video(self, request: Request) -> Response:
        job = self._job(request)
        finished = job.state.ended and job.video_path.exists()
        if not finished and not job.frames:
            return self._none_yet(job)
        path = job.video_path if finished else job.log_path
        size_bytes = path.stat().st_size if finished else job.log_bytes
        wanted = job.request
        suffix = ".mp4" if job.complete else "_partial.mp4"
        headers = {**_REVALIDATE, "content-disposition": _disposition(request, wanted, suffix)}
        etag = f'"{job.id}-{"file" if finished else "log"}-{size_bytes}"'
        return serve_prefix(request, path, size_bytes, etag=etag, media_type="video/mp4", headers=headers)

    async def cancel(self, request: Request) -> Response:
        return self._state(self._manager.cancel(request.path_params["job_id"]))

    async def delete(self, request: Request) -> Response:
        try:
            self._manager.delete(request.path_params["job_id"])
        except OSError as error:
            message = "The server could not remove all files of this job."
            raise Refused(507, "server", message, "服务器未能删除该任务的全部文件。") from error
        return Response(status_code=204, headers=NO_STORE)

    async def states(self, request: Request) -> Response:
        ids: Any = (await json_object(request)).get("ids")
        if not isinstance(ids, list) or len(ids) > MAX_STATES or not all(isinstance(one, str) for one in ids):
            en, zh = f"a list of at most {MAX_STATES} ids", f"最多 {MAX_STATES} 个任务编号的列表"
            raise RequestError("ids", type(ids).__name__, en, zh)
        return JSONResponse({"jobs": self._manager.states(ids)}, headers=NO_STORE)

    async def prompt(self, request: Request) -> Response:
        body = await json_object(request)
        if set(body) != {"prompt"}:
            raise RequestError("body", ", ".join(body), "prompt alone", "只含 prompt")
        return self._state(self._manager.change_prompt(request.path_params["job_id"], body["prompt"]))

    async def status(self, _: Request) -> Response:
        jobs = {"busy": self._manager.busy, "queue_length": self._manager.queue_length}
        memory = dataclasses.asdict(self._memory.read())
        return JSONResponse({**self._runtime.status(), **jobs, "memory": memory}, headers=NO_STORE)

    def _job(self, request: Request) -> Job:
        return self._manager.get(request.path_params["job_id"])

    def _state(self, job: Job, status: int = 200) -> Response:
        return JSONResponse(self._manager.state(job.id), status, NO_STORE)

    def _none_yet(self, job: Job) -> Response:
        if job.state.ended:
            raise Refused(404, "id", "This job ended before its first frame.", "任务在第一帧之前已结束。")
        return self._state(job, 202)


def _disposition(request: Request, wanted: VideoRequest, suffix: str) -> str:
    kind = "attachment" if request.query_params.get("download") == "1" else "inline"
    seconds = wanted.earlier_seconds + wanted.seconds
    return f'{kind}; filename="wan_{wanted.seed}_{wanted.width}x{wanted.height}_{seconds}s{suffix}"'


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_OFFSET_DIGITS):
        raise RequestError("offset", text, "a whole number of bytes from 0", "从 0 开始的整数字节数")
    return int(text)


async def json_body(request: Request, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body of a request that says it is JSON; not parsed.

    Raises:
        Refused: 415 for another type, 413 beyond `max_bytes`.
    """
    # A page of another origin can send plain text without asking, but not this type.
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "body", "Content-Type must be application/json.", "Content-Type 必须为 application/json。")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise Refused(413, "body", f"At most {max_bytes} bytes.", f"最多 {max_bytes} 字节。")
    return bytes(body)


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        Refused: as `json_body`.
        RequestError: it is not a JSON object.
    """
    body = await json_body(request)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError("body", f"{len(body)} bytes", "a JSON object", "JSON 对象") from error
    if not isinstance(found, dict):
        raise RequestError("body", type(found).__name__, "a JSON object", "JSON 对象")
    return found
