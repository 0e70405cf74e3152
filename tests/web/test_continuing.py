"""Going on from an ended job, after a restart too; deleting jobs; the states that a history is drawn from."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from pipeline import mp4
from pipeline.encode import read_settings
from pipeline.errors import RequestError
from pipeline.request import PromptChange, VideoRequest
from tests.web.studio import Studio
from web.job import Job
from web.job_errors import JobConflict, NotEnded, UnknownJob
from web.job_state import State
from web.jobs import JobManager
from web.sharing import share

NewId = Callable[[], str]
WAIT_S = 20.0
SHORT = VideoRequest(prompt="红色的球", seconds=2, seed=7)
LONGER = dataclasses.replace(SHORT, earlier_seconds=2)


def ended(job: Job) -> State:
    assert job.wait_until_ended(WAIT_S), "the job did not end"
    return job.state


def frames_of(path: Path) -> int:
    with av.open(io.BytesIO(path.read_bytes()), format="mp4") as file:
        return sum(1 for _ in file.decode(video=0))


@pytest.fixture
def done(manager: JobManager, new_id: NewId) -> Job:
    job, _ = manager.submit(new_id(), SHORT)
    assert ended(job) is State.DONE
    return job


def cut(studio: Studio, manager: JobManager, new_id: NewId, at: int = 20) -> Job:
    """A job that was cancelled before frame `at`."""
    studio.hold_at = at
    studio.held.clear()
    job, _ = manager.submit(new_id(), SHORT)
    assert studio.held.wait(WAIT_S)
    manager.cancel(job.id)
    assert ended(job) is State.CANCELLED
    studio.hold_at = None
    return job


def test_more_seconds_make_one_file_of_old_and_new_frames(manager: JobManager, new_id: NewId, done: Job) -> None:
    job, created = manager.submit(new_id(), LONGER, continues=done.id)
    assert created
    assert job.has_poster, "the first frame is known at once"
    assert ended(job) is State.DONE
    assert job.frames == 96
    assert frames_of(job.video_path) == 96
    init = len(mp4.read_init(done.log_path))
    old = done.log_path.read_bytes()[init:]
    assert job.log_path.read_bytes()[len(mp4.read_init(job.log_path)) :].startswith(old), "nothing is encoded again"
    assert VideoRequest.from_mapping(json.loads(read_settings(job.video_path) or "")) == LONGER
    state = manager.state(job.id)
    assert (state["continues"], state["kept_frames"], state["num_frames"]) == (done.id, 48, 96)
    assert not (job.log_path.parent / "past.mp4").exists(), "no second copy stays"


def test_a_clip_that_was_cut_short_is_completed(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    part = cut(studio, manager, new_id)
    job, _ = manager.submit(new_id(), SHORT, continues=part.id)
    assert ended(job) is State.DONE
    assert (job.kept_frames, frames_of(job.video_path)) == (20, 48)


def test_going_on_with_the_settings_that_it_had(studio: Studio, manager: JobManager, new_id: NewId, done: Job) -> None:
    longer = manager.continue_job(new_id(), done.id, 4)
    part = cut(studio, manager, new_id)
    whole = manager.continue_job(new_id(), part.id, 4)
    assert {ended(longer), ended(whole)} == {State.DONE}
    assert longer.request == dataclasses.replace(SHORT, seconds=4, earlier_seconds=2)
    assert whole.request == SHORT


def test_the_rate_counts_only_what_was_made(studio: Studio, manager: JobManager, new_id: NewId, done: Job) -> None:
    studio.hold_at = 48
    studio.held.clear()
    job, _ = manager.submit(new_id(), LONGER, continues=done.id)
    assert studio.held.wait(WAIT_S)
    state = manager.state(job.id)
    assert (state["frames"], state["generation_fps"], state["eta_ms"]) == (48, None, None)
    assert state["first_frame_ms"] is None
    studio.go.set()
    assert ended(job) is State.DONE
    assert manager.state(job.id)["generation_fps"] > 0


def test_it_goes_on_after_the_earlier_job_was_deleted(
    studio: Studio, manager: JobManager, new_id: NewId, done: Job
) -> None:
    studio.hold_at = 10
    blocking, _ = manager.submit(new_id(), SHORT)
    assert studio.held.wait(WAIT_S)
    studio.hold_at = None
    job, _ = manager.submit(new_id(), LONGER, continues=done.id)
    manager.delete(done.id)
    studio.go.set()
    assert {ended(blocking), ended(job)} == {State.DONE}
    assert frames_of(job.video_path) == 96
    further, _ = manager.submit(new_id(), dataclasses.replace(LONGER, earlier_seconds=4), continues=job.id)
    assert ended(further) is State.DONE
    assert frames_of(further.video_path) == 144


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"width": 1024, "height": 576}, "size"),
        ({"fps": 30}, "fps"),
        ({"batch_size": 2}, "batch_size"),
        ({"earlier_seconds": 0}, "earlier_seconds"),
        ({"earlier_seconds": 4}, "earlier_seconds"),
    ],
)
def test_what_cannot_go_on_is_refused_by_its_field(
    manager: JobManager, new_id: NewId, done: Job, fields: dict[str, int], field: str
) -> None:
    with pytest.raises(RequestError) as refused:
        manager.submit(new_id(), dataclasses.replace(LONGER, **fields), continues=done.id)
    assert refused.value.field == field


def test_there_must_be_something_to_go_on_from(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    nothing = cut(studio, manager, new_id, at=0)
    whole_clip = cut(studio, manager, new_id, at=30)
    shutil.rmtree(whole_clip.latents_path)
    for job_id in (new_id(), nothing.id, whole_clip.id):
        with pytest.raises(RequestError) as refused:
            manager.submit(new_id(), SHORT, continues=job_id)
        assert refused.value.field == "continues"
    assert not manager.state(whole_clip.id)["can_continue"]


def test_the_same_id_with_another_past_conflicts(manager: JobManager, new_id: NewId, done: Job) -> None:
    job_id = new_id()
    job, _ = manager.submit(job_id, LONGER, continues=done.id)
    assert manager.submit(job_id, LONGER, continues=done.id) == (job, False)
    with pytest.raises(JobConflict):
        manager.submit(job_id, LONGER)
    ended(job)


def test_changes_of_the_prompt_keep_their_frames(manager: JobManager, new_id: NewId, done: Job) -> None:
    changed = LONGER.with_change(PromptChange(60, "蓝色的球"))
    job, _ = manager.submit(new_id(), changed, continues=done.id)
    assert ended(job) is State.DONE
    assert list(manager.state(job.id)["request"]["prompt_changes"]) == [{"frame": 60, "prompt": "蓝色的球"}]


def test_an_interrupted_job_goes_on_after_a_restart(
    studio: Studio, manager: JobManager, new_id: NewId, done: Job, tmp_path: Path
) -> None:
    """Twice: the second time it had just begun, and had not taken over every old frame yet."""
    studio.hold_at = 60
    studio.held.clear()
    running, _ = manager.submit(new_id(), LONGER, continues=done.id)
    assert studio.held.wait(WAIT_S)
    copies = [shutil.copytree(tmp_path / "jobs", tmp_path / name) for name in ("late", "early")]
    studio.go.set()
    early = copies[1] / running.id / "log.mp4"
    early.write_bytes(early.read_bytes()[:5000])
    for root, frames in zip(copies, (60, 48), strict=True):
        found = JobManager(root, Studio().produce, memory_used=lambda: 0)
        found.start()
        state = found.state(running.id)
        assert (state["state"], state["frames"], state["can_continue"]) == ("interrupted", frames, True)
        assert "继续" in state["error"]["message_zh"]
        assert frames_of(found.get(running.id).video_path) == frames
        job, _ = found.submit(new_id(), LONGER, continues=running.id)
        assert ended(job) is State.DONE
        assert (job.kept_frames, frames_of(job.video_path)) == (frames, 96)
        found.close()
    ended(running)


def test_what_a_job_took_over_is_known_after_a_restart(
    studio: Studio, manager: JobManager, new_id: NewId, done: Job, tmp_path: Path
) -> None:
    job, _ = manager.submit(new_id(), LONGER, continues=done.id)
    assert ended(job) is State.DONE
    found = JobManager(tmp_path / "jobs", studio.produce, memory_used=lambda: 0)
    assert found.state(job.id) == manager.state(job.id)


def test_deleting_removes_everything_and_only_what_has_ended(
    studio: Studio, manager: JobManager, new_id: NewId, done: Job, tmp_path: Path
) -> None:
    manager.delete(done.id)
    assert not (tmp_path / "jobs" / done.id).exists()
    for gone in (done.id, "../" + "0" * 29):
        with pytest.raises(UnknownJob):
            manager.delete(gone)
    studio.hold_at = 5
    running, _ = manager.submit(new_id(), SHORT)
    assert studio.held.wait(WAIT_S)
    waiting, _ = manager.submit(new_id(), SHORT)
    for job in (running, waiting):
        with pytest.raises(NotEnded):
            manager.delete(job.id)
    studio.go.set()
    assert {ended(running), ended(waiting)} == {State.DONE}


def test_states_of_those_that_are_there(manager: JobManager, new_id: NewId, done: Job) -> None:
    other, _ = manager.submit(new_id(), SHORT)
    ended(other)
    states = manager.states([other.id, new_id(), "nonsense", done.id])
    assert [state["id"] for state in states] == [other.id, done.id]


def test_a_file_without_second_names_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "log"
    source.write_bytes(b"frames")
    share(source, tmp_path / "linked")
    assert (tmp_path / "linked").samefile(source)

    def refuse(*_: object) -> None:
        raise OSError("this file system has no links")

    monkeypatch.setattr("os.link", refuse)
    share(source, tmp_path / "copied")
    assert (tmp_path / "copied").read_bytes() == b"frames"
    assert not (tmp_path / "copied").samefile(source)
