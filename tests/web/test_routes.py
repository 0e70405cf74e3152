"""The wire contract, spoken to a real server: status codes, bytes, ranges, resuming, limits and the login."""

from __future__ import annotations

import asyncio
import concurrent.futures
import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import av
import gradio as gr
import httpx
import pytest
import uvicorn
from gradio.routes import App

from tests.web.studio import Studio
from web.jobs import JobManager
from web.memory import MemoryMonitor
from web.ranges import ByteRange, NotSatisfiable, parse_range
from web.routes import MAX_BODY_BYTES, MAX_STATES, PREFIX, attach

NewId = Callable[[], str]
WAIT_S = 20.0
ASKED = {"prompt": "红色的球", "seconds": 2, "seed": 7}


class Bar:
    """What the app would tell of its model."""

    def status(self) -> dict[str, Any]:
        return {
            "model": "embedded",
            "backend": "none",
            "trt": {"on": False, "reason_en": "no GPU", "reason_zh": "无显卡"},
        }


_Made = TypeVar("_Made")


def within_a_loop(make: Callable[[], _Made]) -> _Made:
    """Call `make` while an event loop runs: without one, Gradio opens several that it never closes."""

    async def call() -> _Made:
        return make()

    return asyncio.run(call())


def small_page() -> gr.Blocks:
    with gr.Blocks(analytics_enabled=False) as made:
        gr.Textbox()
    return made


@pytest.fixture(scope="module")
def page() -> gr.Blocks:
    return within_a_loop(small_page)


@pytest.fixture
def client(page: gr.Blocks, manager: JobManager) -> Iterator[httpx.Client]:
    app = within_a_loop(lambda: App.create_app(page))
    attach(app, manager, Bar(), MemoryMonitor())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}{PREFIX}", timeout=WAIT_S) as made:
        yield made
    manager.close()  # ends the streams that are still open, for which the server would wait
    server.should_exit = True
    thread.join(WAIT_S)


def submit(client: httpx.Client, job_id: str, **fields: object) -> httpx.Response:
    return client.post("/jobs", json={"id": job_id, "request": {**ASKED, **fields}})


def until_ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        state = client.get(f"/jobs/{job_id}").json()
        if state["state"] in ("done", "cancelled", "failed"):
            return state
        time.sleep(0.02)
    raise AssertionError("the job did not end")


def decoded(data: bytes) -> int:
    with av.open(io.BytesIO(data), format="mp4") as file:
        return sum(1 for _ in file.decode(video=0))


@pytest.fixture
def held(client: httpx.Client, studio: Studio, new_id: NewId) -> str:
    """Id of a job that is running and waits before frame 20."""
    studio.hold_at = 20
    job_id = new_id()
    assert submit(client, job_id).status_code == 201
    assert studio.held.wait(WAIT_S)
    return job_id


@pytest.fixture
def done(client: httpx.Client, new_id: NewId) -> str:
    """Id of a job that is done."""
    job_id = new_id()
    assert submit(client, job_id).status_code == 201
    assert until_ended(client, job_id)["state"] == "done"
    return job_id


# -- submit ----------------------------------------------------------------------------------------------------------


def test_submit_is_idempotent_and_a_conflict_is_told(client: httpx.Client, new_id: NewId) -> None:
    job_id = new_id()
    first, again = submit(client, job_id), submit(client, job_id)
    other = submit(client, job_id, seed=8)
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 409]
    assert first.json()["id"] == again.json()["id"] == job_id
    assert other.json()["field"] == "id"
    until_ended(client, job_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("prompt", value) for value in ("", "   ", "字" * 10_000, 5, None)),
        *(("style", 3), ("negative_prompt", ["x"]), ("size", "1x1"), ("unknown", 1)),
        *(("seconds", value) for value in ("4", 3, True)),
        *(("fps", value) for value in (25, 24.0)),
        *(("seed", value) for value in (2**32, -2, "7")),
        *(("guidance_scale", value) for value in (0, "7")),
        *(("denoise_strength", value) for value in (0, None)),
        *(("num_inference_steps", 0), ("batch_size", 5)),
    ],
)
def test_a_bad_field_is_named_and_the_next_job_runs(
    client: httpx.Client, new_id: NewId, field: str, value: object
) -> None:
    answer = submit(client, new_id(), **{field: value})
    assert answer.status_code == 422
    told = answer.json()
    assert set(told) == {"field", "message_en", "message_zh"}
    assert told["field"] == field
    assert told["message_zh"] != told["message_en"]


def test_a_size_that_is_not_offered_is_refused(client: httpx.Client, new_id: NewId) -> None:
    answer = submit(client, new_id(), width=640, height=480)
    assert (answer.status_code, answer.json()["field"]) == (422, "size")


def test_half_a_surrogate_pair_is_refused(client: httpx.Client, new_id: NewId) -> None:
    body = f'{{"id": "{new_id()}", "request": {{"prompt": "\\ud83d"}}}}'
    answer = client.post("/jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "prompt")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(client: httpx.Client, new_id: NewId, value: str) -> None:
    body = f'{{"id": "{new_id()}", "request": {{"prompt": "a", "denoise_strength": {value}}}}}'
    answer = client.post("/jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "denoise_strength")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "body"),
        ("{", "body"),
        ("[]", "body"),
        ('"text"', "body"),
        ("\xff\xfe", "body"),
        ("[" * 60_000, "body"),
        ("{}", "id"),
        ('{"id": 5}', "id"),
        ('{"id": "../../etc/passwd", "request": {"prompt": "a"}}', "id"),
        ('{"id": "ID"}', "request"),
        ('{"id": "ID", "request": []}', "request"),
        ('{"id": "ID", "request": {}}', "prompt"),
        ('{"id": "ID", "request": {"prompt": "a"}, "extra": 1}', "extra"),
    ],
)
def test_a_bad_body_is_named(client: httpx.Client, new_id: NewId, body: str, field: str) -> None:
    sent = body.replace("ID", new_id()).encode("latin-1")
    answer = client.post("/jobs", content=sent, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_a_body_beyond_the_limit_is_refused_whether_or_not_it_says_its_length(client: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    for content in (b" " * (MAX_BODY_BYTES + 1), iter([b" " * MAX_BODY_BYTES] * 3)):
        answer = client.post("/jobs", content=content, headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (413, "body")


def test_only_json_is_taken_so_that_no_other_page_can_submit(client: httpx.Client, new_id: NewId) -> None:
    body = f'{{"id": "{new_id()}", "request": {{"prompt": "a"}}}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert client.post("/jobs", content=body, headers={"content-type": kind}).status_code == 415


@pytest.mark.usefixtures("held")
def test_a_full_queue_is_503_with_a_time_to_retry(client: httpx.Client, new_id: NewId, studio: Studio) -> None:
    assert submit(client, new_id(), batch_size=4).status_code == 201
    refused = submit(client, new_id())
    assert (refused.status_code, refused.json()["field"], refused.headers["retry-after"]) == (503, "queue", "30")
    studio.go.set()


def test_a_batch_lists_its_clips(client: httpx.Client, new_id: NewId) -> None:
    job_id = new_id()
    clips = submit(client, job_id, batch_size=2).json()["clips"]
    assert clips == [f"{job_id}-1"]
    assert until_ended(client, clips[0])["seed"] == 8


# -- the stream ------------------------------------------------------------------------------------------------------


def test_the_stream_resumes_at_any_offset_and_a_second_reader_gets_the_same(
    client: httpx.Client, held: str, studio: Studio
) -> None:
    def read(offset: int) -> bytes:
        return client.get(f"/jobs/{held}/stream", params={"offset": offset}).content

    with client.stream("GET", f"/jobs/{held}/stream") as dropped:  # a connection that is cut in the middle
        assert (dropped.status_code, dropped.headers["content-type"]) == (200, "video/mp4")
        assert dropped.headers["cache-control"] == "no-store"
        seen = next(dropped.iter_raw())
    assert decoded(seen) == 20
    with concurrent.futures.ThreadPoolExecutor() as pool:
        readers = [pool.submit(read, offset) for offset in (0, 777, len(seen), 0)]
        time.sleep(0.2)
        assert not any(reader.done() for reader in readers)
        studio.go.set()
        whole, middle, rest, second = (reader.result(WAIT_S) for reader in readers)
    assert whole == second == seen + rest
    assert middle == whole[777:]
    assert decoded(whole) == 48
    assert client.get(f"/jobs/{held}").json()["state"] == "done", "the stream ends when the job has ended"


def test_the_stream_can_be_opened_the_moment_the_job_is_accepted(client: httpx.Client, new_id: NewId) -> None:
    job_id = new_id()
    submit(client, job_id)
    answer = client.get(f"/jobs/{job_id}/stream")
    assert answer.status_code == 200
    assert decoded(answer.content) == 48


@pytest.mark.usefixtures("held")
def test_a_job_behind_another_is_not_held_open(client: httpx.Client, new_id: NewId, studio: Studio) -> None:
    waiting = new_id()
    submit(client, waiting)
    for path in ("stream", "first.jpg", "video.mp4"):
        answer = client.get(f"/jobs/{waiting}/{path}")
        assert answer.status_code == 202
        assert (answer.json()["state"], answer.json()["queue_position"]) == ("queued", 1)
    assert client.post(f"/jobs/{waiting}/cancel").json()["state"] == "cancelled"
    ended = client.get(f"/jobs/{waiting}/stream")
    assert (ended.status_code, ended.content) == (200, b"")
    assert client.get(f"/jobs/{waiting}/video.mp4").status_code == 404
    assert client.get(f"/jobs/{waiting}/first.jpg").status_code == 404
    studio.go.set()


def test_offsets_at_and_beyond_the_end(client: httpx.Client, done: str) -> None:
    size = client.get(f"/jobs/{done}").json()["bytes"]
    at_end = client.get(f"/jobs/{done}/stream", params={"offset": size})
    assert (at_end.status_code, at_end.content) == (200, b"")
    beyond = client.get(f"/jobs/{done}/stream", params={"offset": size + 1})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("offset", ["-1", "1.5", "abc", "", "١", "9" * 40])
def test_offsets_that_are_none_are_refused(client: httpx.Client, done: str, offset: str) -> None:
    answer = client.get(f"/jobs/{done}/stream", params={"offset": offset})
    assert (answer.status_code, answer.json()["field"]) == (422, "offset")


# -- poster, file, cancel --------------------------------------------------------------------------------------------


def test_the_poster_is_sent_the_moment_it_exists(client: httpx.Client, new_id: NewId, studio: Studio) -> None:
    studio.hold_at = 0
    job_id = new_id()
    submit(client, job_id)
    assert studio.held.wait(WAIT_S)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(client.get, f"/jobs/{job_id}/first.jpg")
        time.sleep(0.1)
        assert not asked.done(), "frame 0 is at work: the answer waits for it"
        studio.go.set()
        answer = asked.result(WAIT_S)
    assert (answer.status_code, answer.headers["content-type"], answer.content[:2]) == (200, "image/jpeg", b"\xff\xd8")
    assert "immutable" in answer.headers["cache-control"]


def test_the_partial_file_is_every_whole_fragment_and_changes_its_tag_as_it_grows(
    client: httpx.Client, held: str, studio: Studio
) -> None:
    partial = client.get(f"/jobs/{held}/video.mp4", params={"download": "1"})
    assert partial.status_code == 200
    assert partial.headers["content-disposition"] == 'attachment; filename="wan_7_768x432_2s_partial.mp4"'
    assert decoded(partial.content) == 20
    resumed = client.get(
        f"/jobs/{held}/video.mp4", headers={"range": "bytes=500-", "if-range": partial.headers["etag"]}
    )
    assert (resumed.status_code, resumed.content) == (206, partial.content[500:])
    studio.go.set()
    until_ended(client, held)
    final = client.get(f"/jobs/{held}/video.mp4", headers={"range": "bytes=500-", "if-range": partial.headers["etag"]})
    assert final.status_code == 200, "another file now: a resumed download must begin anew"
    assert final.headers["etag"] != partial.headers["etag"]
    assert final.headers["content-disposition"] == 'inline; filename="wan_7_768x432_2s.mp4"'
    assert decoded(final.content) == 48
    assert final.content.index(b"moov") < final.content.index(b"mdat")


def test_ranges_of_the_finished_file(client: httpx.Client, done: str) -> None:
    url = f"/jobs/{done}/video.mp4"
    whole = client.get(url)
    data, tag = whole.content, whole.headers["etag"]
    assert (whole.headers["accept-ranges"], whole.headers["content-length"]) == ("bytes", str(len(data)))
    for header, expected in {
        "bytes=0-99": data[:100],
        "bytes=100-": data[100:],
        "bytes=-50": data[-50:],
        "bytes=0-0": data[:1],
        f"bytes={len(data) - 1}-{len(data) + 500}": data[-1:],
    }.items():
        part = client.get(url, headers={"range": header, "accept-encoding": "br, gzip"})
        first = len(data) - len(expected) if header[6] == "-" else int(header[6:].split("-")[0])
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(data)}"
        assert "content-encoding" not in part.headers
    for header in ("bytes=5-2", "items=0-5", "bytes=0-1,4-5", "bytes=-", "nonsense"):
        assert client.get(url, headers={"range": header}).content == data
    beyond = client.get(url, headers={"range": f"bytes={len(data)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert client.get(url, headers={"if-none-match": tag}).status_code == 304
    head = client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(data)))


def test_parse_range_at_its_edges() -> None:
    assert parse_range("bytes=0-", 10) == ByteRange(0, 10)
    assert parse_range("bytes=-20", 10) == ByteRange(0, 10)
    assert parse_range(None, 10) is None
    for header, size in (("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)):
        with pytest.raises(NotSatisfiable):
            parse_range(header, size)


def test_cancel_over_http(client: httpx.Client, held: str) -> None:
    assert client.post(f"/jobs/{held}/cancel").status_code == 200
    state = until_ended(client, held)
    assert (state["state"], state["frames"], state["error"]) == ("cancelled", 20, None)
    assert decoded(client.get(f"/jobs/{held}/video.mp4").content) == 20


def test_going_on_over_http(client: httpx.Client, done: str, new_id: NewId) -> None:
    job_id = new_id()
    body = {"id": job_id, "request": {**ASKED, "earlier_seconds": 2}, "continues": done}
    assert client.post("/jobs", json=body).status_code == 201
    state = until_ended(client, job_id)
    assert (state["state"], state["continues"], state["frames"]) == ("done", done, 96)
    whole = client.get(f"/jobs/{job_id}/video.mp4", params={"download": "1"})
    assert whole.headers["content-disposition"] == 'attachment; filename="wan_7_768x432_4s.mp4"'
    assert decoded(whole.content) == 96
    for continues in (5, None, new_id()):
        answer = client.post("/jobs", json={**body, "id": new_id(), "continues": continues})
        assert (answer.status_code, answer.json()["field"]) == (422, "continues")


def test_the_poster_can_be_downloaded(client: httpx.Client, done: str) -> None:
    answer = client.get(f"/jobs/{done}/first.jpg", params={"download": "1"})
    assert answer.headers["content-disposition"] == 'attachment; filename="wan_7_768x432_2s.jpg"'


def test_deleting_over_http(client: httpx.Client, held: str, studio: Studio) -> None:
    refused = client.delete(f"/jobs/{held}")
    assert (refused.status_code, refused.json()["message_zh"]) == (409, "任务仍在排队或运行，请先取消。")
    studio.go.set()
    until_ended(client, held)
    assert client.delete(f"/jobs/{held}").status_code == 204
    assert client.get(f"/jobs/{held}/video.mp4").status_code == 404
    assert client.delete(f"/jobs/{held}").status_code == 404


def test_states_of_many_jobs_at_once(client: httpx.Client, done: str, new_id: NewId) -> None:
    answer = client.post("/states", json={"ids": [new_id(), done, "nonsense"]})
    assert [state["id"] for state in answer.json()["jobs"]] == [done]
    for ids in (None, "text", [5], [new_id()] * (MAX_STATES + 1)):
        refused = client.post("/states", json={"ids": ids})
        assert (refused.status_code, refused.json()["field"]) == (422, "ids")


@pytest.mark.parametrize("job_id", ["0" * 32, "nope", "..%2f..%2fetc%2fpasswd", "0" * 32 + "-1", "%00"])
def test_unknown_jobs_are_404_everywhere(client: httpx.Client, job_id: str) -> None:
    for path in ("", "/stream", "/first.jpg", "/video.mp4"):
        assert client.get(f"/jobs/{job_id}{path}").status_code == 404
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 404


@pytest.mark.usefixtures("held")
def test_status_tells_model_queue_and_memory(client: httpx.Client, new_id: NewId, studio: Studio) -> None:
    submit(client, new_id())
    status = client.get("/status").json()
    assert (status["model"], status["trt"]["on"], status["busy"], status["queue_length"]) == (
        "embedded",
        False,
        True,
        1,
    )
    assert set(status["memory"]) == {"source", "device", "used_bytes", "total_bytes", "free_bytes", "peak_bytes"}
    studio.go.set()


# -- the login -------------------------------------------------------------------------------------------------------


def test_routes_stand_behind_gradios_own_login(manager: JobManager, new_id: NewId) -> None:
    page, login = within_a_loop(small_page), ("wan", "secret")
    app, address, _ = within_a_loop(
        lambda: page.launch(prevent_thread_lock=True, quiet=True, auth=login, ssr_mode=False)
    )
    try:
        attach(app, manager, Bar(), MemoryMonitor())
        job_id = new_id()
        with httpx.Client(base_url=address.rstrip("/") + PREFIX) as stranger:
            assert stranger.get("/status").status_code == 401
            assert submit(stranger, job_id).status_code == 401
            for path in ("", "/stream", "/first.jpg", "/video.mp4"):
                assert stranger.get(f"/jobs/{job_id}{path}").status_code == 401
            assert stranger.delete(f"/jobs/{job_id}").status_code == 401
            assert stranger.post("/states", json={"ids": [job_id]}).status_code == 401
            assert stranger.post(f"/jobs/{job_id}/cancel").json()["message_zh"] == "请先登录。"
            stranger.cookies.set(f"access-token-unsecure-{app.cookie_id}", "guessed")
            assert stranger.get("/status").status_code == 401
        with httpx.Client(base_url=address.rstrip("/")) as person:
            person.post("/login", data={"username": "wan", "password": "secret"})
            assert person.get(PREFIX + "/status").status_code == 200
            answer = person.post(PREFIX + "/jobs", json={"id": job_id, "request": ASKED})
            assert answer.status_code == 201
            person.get("/logout")
            assert person.get(PREFIX + "/status").status_code == 401
    finally:
        page.close()


@pytest.mark.parametrize(("user", "status"), [("someone", 200), (None, 401)])
@pytest.mark.parametrize("awaited", [False, True])
def test_an_auth_dependency_is_asked_too(
    page: gr.Blocks, manager: JobManager, user: str | None, status: int, awaited: bool
) -> None:
    from starlette.testclient import TestClient

    async def ask_later(_: object) -> str | None:
        return user

    ask = ask_later if awaited else lambda _: user
    app = within_a_loop(lambda: App.create_app(page, auth_dependency=ask))
    attach(app, manager, Bar(), MemoryMonitor())
    assert TestClient(app).get(PREFIX + "/status").status_code == status
