"""Another prompt for a running job: when it is taken, what the file says of it, and when it is too late."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import styles
from pipeline.encode import read_settings
from pipeline.errors import RequestError
from pipeline.request import MAX_PROMPT_CHANGES, PromptChange, VideoRequest
from tests.serving import serving
from tests.web.studio import Studio
from web.checks import style_check
from web.job import Job
from web.job_errors import TooLate, UnknownJob
from web.job_state import State
from web.jobs import JobManager

NewId = Callable[[], str]
WAIT_S = 20.0


def held(studio: Studio, manager: JobManager, job_id: str, at: int) -> Job:
    """A job of 48 frames (blocks at 1, 13, 25, 37) that is running and waits before frame `at`."""
    studio.hold_at = at
    job, _ = manager.submit(job_id, VideoRequest(prompt="猫", seconds=2, seed=7))
    assert studio.held.wait(WAIT_S)
    return job


def test_it_is_taken_by_the_next_block_and_the_file_says_from_which_frame(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    job = held(studio, manager, new_id(), at=20)
    manager.change_prompt(job.id, "狗")
    manager.change_prompt(job.id, "鱼")
    assert manager.state(job.id)["next_prompt"] == "鱼", "the last one said before the block is meant"
    studio.go.set()
    assert job.wait_until_ended(WAIT_S)
    assert studio.prompts == [None, None, "鱼", None]
    state = manager.state(job.id)
    assert state["state"] == "done"
    assert state["next_prompt"] is None
    assert state["request"]["prompt_changes"] == ({"frame": 25, "prompt": "鱼"},)
    settings = VideoRequest.from_mapping(json.loads(read_settings(job.video_path) or ""))
    assert settings.prompt_changes == (PromptChange(25, "鱼"),)
    found = Job.restore(job.log_path.parent, memory_used=lambda: 0)
    assert found.request == settings


def test_a_job_that_is_interrupted_keeps_it(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    job = held(studio, manager, new_id(), at=20)
    manager.change_prompt(job.id, "狗")
    assert job.next_prompt(25) == "狗"
    kept = json.loads((job.log_path.parent / "state.json").read_text(encoding="utf-8"))
    assert kept["state"] == "running"
    assert kept["request"]["prompt_changes"] == [{"frame": 25, "prompt": "狗"}]


def test_it_is_too_late_in_the_last_block_and_after_the_end(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    with pytest.raises(UnknownJob):
        manager.change_prompt(new_id(), "狗")
    job = held(studio, manager, new_id(), at=40)
    with pytest.raises(TooLate):
        manager.change_prompt(job.id, "狗")
    waiting, _ = manager.submit(new_id(), VideoRequest(prompt="猫", seconds=2))
    with pytest.raises(TooLate):
        manager.change_prompt(waiting.id, "狗")
    manager.cancel(waiting.id)
    studio.go.set()
    assert job.wait_until_ended(WAIT_S)
    assert job.state is State.DONE
    with pytest.raises(TooLate):
        manager.change_prompt(job.id, "狗")


@pytest.mark.parametrize("prompt", ["", " ", "字" * 2001, 5, "\ud800", "(狗:1.2"])
def test_a_bad_prompt_is_refused_and_the_clip_goes_on(
    studio: Studio, new_id: NewId, tmp_path: Path, prompt: Any
) -> None:
    check = style_check(styles.load_styles())
    manager = JobManager(tmp_path, studio.produce, memory_used=lambda: 0, check=check)
    manager.start()
    try:
        job = held(studio, manager, new_id(), at=5)
        with pytest.raises(RequestError) as caught:
            manager.change_prompt(job.id, prompt)
        assert caught.value.field == "prompt"
        studio.go.set()
        assert job.wait_until_ended(WAIT_S)
        assert (job.state, job.request.prompt_changes) == (State.DONE, ())
    finally:
        manager.close()


def test_too_many_changes_are_refused_before_the_walk_sees_them(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    studio.hold_at = 3
    changes = tuple(PromptChange(frame, "狗") for frame in range(1, 1 + MAX_PROMPT_CHANGES))
    job, _ = manager.submit(new_id(), VideoRequest(prompt="猫", seconds=2, prompt_changes=changes))
    assert studio.held.wait(WAIT_S)
    with pytest.raises(RequestError):
        manager.change_prompt(job.id, "鱼")
    studio.go.set()
    assert job.wait_until_ended(WAIT_S)
    assert job.state is State.DONE


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("jobs")) as port:
        yield f"http://127.0.0.1:{port}/gradio_api/wan"


def test_the_route(base: str, new_id: NewId) -> None:
    job_id = new_id()
    asked = {"prompt": "球 fps=12", "seconds": 2, "seed": 3}
    assert httpx.post(f"{base}/jobs", json={"id": job_id, "request": asked}).status_code == 201
    while not httpx.get(f"{base}/jobs/{job_id}").json()["frames"]:
        pass
    answer = httpx.post(f"{base}/jobs/{job_id}/prompt", json={"prompt": "鱼 fps=48"})
    assert answer.status_code == 200
    assert answer.json()["next_prompt"] == "鱼 fps=48"
    while (state := httpx.get(f"{base}/jobs/{job_id}").json())["state"] in ("running", "finishing"):
        pass
    assert state["state"] == "done"
    assert state["request"]["prompt_changes"] == [{"frame": 13, "prompt": "鱼 fps=48"}]
    late = httpx.post(f"{base}/jobs/{job_id}/prompt", json={"prompt": "狗"})
    assert (late.status_code, late.json()["field"]) == (409, "prompt")
    for body, field in (({}, "body"), ({"prompt": "a", "seed": 1}, "body"), ({"prompt": ""}, "prompt")):
        refused = httpx.post(f"{base}/jobs/{job_id}/prompt", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert httpx.post(f"{base}/jobs/{new_id()}/prompt", json={"prompt": "狗"}).status_code == 404
