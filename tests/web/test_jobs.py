"""Queue, states, log, readers, restart: everything a job promises, with a real encoder and no model."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from pipeline import mp4
from pipeline.encode import Poster, read_settings
from pipeline.errors import Cancelled, EncoderError, RequestError, WanError
from pipeline.progress import ignore, never
from pipeline.request import VideoRequest
from tests.web.studio import Studio
from web.job import Job
from web.job_errors import JobConflict, QueueFull, UnknownJob
from web.job_state import INTERRUPTED, TRANSITIONS, State, describe
from web.jobs import JobManager

NewId = Callable[[], str]
WAIT_S = 20.0


def request(seed: int = 7, **fields: object) -> VideoRequest:
    return VideoRequest.from_mapping({"prompt": "红色的球", "seconds": 2, "seed": seed, **fields})


def frames_of(data: bytes) -> int:
    with av.open(io.BytesIO(data), format="mp4") as file:
        return sum(1 for _ in file.decode(video=0))


async def collect(job: Job, offset: int = 0) -> bytes:
    return b"".join([data async for data in job.read(offset)])


def ended(job: Job) -> State:
    assert job.wait_until_ended(WAIT_S), "the job did not end"
    return job.state


def held(studio: Studio, manager: JobManager, job_id: str, at: int = 20) -> Job:
    """A job that is running and waits before frame `at`."""
    studio.hold_at = at
    job, _ = manager.submit(job_id, request())
    assert studio.held.wait(WAIT_S)
    return job


# -- one job ---------------------------------------------------------------------------------------------------------


def test_a_job_leaves_exactly_what_the_encoder_gave_and_a_seekable_file(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    wanted = request()
    job, created = manager.submit(new_id(), wanted)
    assert created
    assert ended(job) is State.DONE
    again = studio.produce(wanted, never, ignore)
    expected = b"".join(piece.data for piece in again if not isinstance(piece, Poster))
    assert job.log_path.read_bytes() == expected
    assert job.log_bytes == len(expected)
    assert job.poster_path.read_bytes()[:2] == b"\xff\xd8"
    assert frames_of(job.video_path.read_bytes()) == 48
    assert read_settings(job.video_path) == wanted.to_json()


def test_the_state_tells_everything_that_the_contract_names(manager: JobManager, new_id: NewId) -> None:
    job_id = new_id()
    job, _ = manager.submit(job_id, request())
    assert ended(job) is State.DONE
    state = manager.state(job_id)
    json.dumps(state)
    exact = {
        "id": job_id, "state": "done", "queue_position": 0, "num_frames": 48, "frames": 48, "block": 4, "num_blocks": 5,
        "step": 4, "num_steps": 4, "bytes": job.log_bytes, "codec": "avc1.42C01E", "encoder": "libx264", "width": 768,
        "height": 432, "fps": 24, "seed": 7, "eta_ms": 0.0, "memory_bytes": 1000, "error": None, "clips": [],
        "next_prompt": None, "continues": "", "kept_frames": 0, "can_continue": True, "created_at_s": job.created_at_s,
    }  # fmt: skip
    assert {name: state[name] for name in exact} == exact
    assert state["request"]["prompt"] == "红色的球"
    assert state["generation_fps"] > 0
    marks = state["marks_ms"]
    assert list(marks) == ["accepted", "started", "first_latent", "first_frame", "first_fragment"]
    assert list(marks.values()) == sorted(marks.values())
    assert state["first_frame_ms"] == marks["first_frame"]
    assert set(state) == {*exact, "request", "generation_fps", "marks_ms", "first_frame_ms"}


def test_while_it_runs_frames_grow_and_the_eta_is_known(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    job = held(studio, manager, new_id(), at=20)
    state = manager.state(job.id)
    assert (state["state"], state["frames"], state["block"]) == ("running", 20, 2)
    assert state["eta_ms"] >= 0
    studio.go.set()
    assert ended(job) is State.DONE


def test_marks_count_from_the_arrival_of_the_submission(manager: JobManager, new_id: NewId) -> None:
    job, _ = manager.submit(new_id(), request(), arrived_s=time.perf_counter() - 5)
    ended(job)
    assert manager.state(job.id)["marks_ms"]["accepted"] >= 5000


def test_every_transition_but_those_of_the_table_is_refused(tmp_path: Path) -> None:
    for number, (before, after) in enumerate(itertools.product(State, State)):
        job = Job(
            tmp_path / str(number),
            str(number),
            request(),
            submitted=request(),
            arrived_s=0.0,
            created_at_s=0.0,
            memory_used=lambda: 0,
        )
        job.create()
        job._state = before  # pyright: ignore[reportPrivateUsage]
        if after in TRANSITIONS[before]:
            job.enter(after)
            assert job.state is after
        else:
            with pytest.raises(ValueError, match="may not follow"):
                job.enter(after)


# -- the queue -------------------------------------------------------------------------------------------------------


def test_jobs_run_one_at_a_time_in_the_order_of_submission(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    first = held(studio, manager, new_id())
    others = [manager.submit(new_id(), request(seed))[0] for seed in (8, 9, 10)]
    assert [manager.state(job.id)["queue_position"] for job in (first, *others)] == [0, 1, 2, 3]
    assert (manager.queue_length, manager.busy) == (3, True)
    manager.cancel(others[0].id)
    assert [manager.state(job.id)["queue_position"] for job in others] == [0, 1, 2]
    studio.go.set()
    assert [ended(job) for job in (first, *others)] == [State.DONE, State.CANCELLED, State.DONE, State.DONE]
    assert [made.seed for made in studio.made] == [7, 9, 10]


def test_the_same_submission_again_is_the_same_job_and_another_one_conflicts(
    manager: JobManager, new_id: NewId
) -> None:
    job_id, wanted = new_id(), request(seed=-1)
    job, created = manager.submit(job_id, wanted)
    again, created_again = manager.submit(job_id, wanted)
    assert (created, created_again, again) == (True, False, job)
    assert job.request.seed >= 0, "a random seed is made definite"
    with pytest.raises(JobConflict):
        manager.submit(job_id, request(seed=1))
    ended(job)


def test_a_batch_becomes_one_job_a_clip_with_consecutive_seeds(manager: JobManager, new_id: NewId) -> None:
    job_id = new_id()
    job, _ = manager.submit(job_id, request(batch_size=3))
    assert manager.state(job_id)["clips"] == [f"{job_id}-1", f"{job_id}-2"]
    jobs = [job, *(manager.get(name) for name in manager.state(job_id)["clips"])]
    assert [ended(each) for each in jobs] == [State.DONE] * 3
    assert [each.request.seed for each in jobs] == [7, 8, 9]
    assert manager.submit(job_id, request(batch_size=3)) == (job, False)


def test_a_full_queue_says_so_and_takes_no_part_of_a_batch(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    running = held(studio, manager, new_id())
    waiting = [manager.submit(new_id(), request(seed))[0] for seed in (1, 2)]
    with pytest.raises(QueueFull) as full:
        manager.submit(new_id(), request(batch_size=3))
    assert "4" in full.value.message_en
    assert "队列已满" in full.value.message_zh
    assert manager.queue_length == 2
    waiting.append(manager.submit(new_id(), request(batch_size=2))[0])
    studio.go.set()
    assert {ended(job) for job in (running, *waiting)} == {State.DONE}


@pytest.mark.parametrize(
    "job_id", ["", "abc", "G" * 32, "A" * 32, "0" * 31 + "/", "../" + "0" * 29, "0" * 32 + "-1", "0" * 33]
)
def test_ids_of_another_form_are_refused_and_found_nowhere(manager: JobManager, job_id: str) -> None:
    with pytest.raises(RequestError) as refused:
        manager.submit(job_id, request())
    assert refused.value.field == "id"
    with pytest.raises(UnknownJob):
        manager.get(job_id)


def test_what_only_the_server_can_judge_is_checked_before_queueing(
    studio: Studio, tmp_path: Path, new_id: NewId
) -> None:
    def check(wanted: VideoRequest) -> None:
        if wanted.style == "nope":
            raise RequestError("style", wanted.style, "one of the styles", "已有风格之一")

    manager = JobManager(tmp_path, studio.produce, memory_used=lambda: 0, check=check)
    with pytest.raises(RequestError, match="style"):
        manager.submit(new_id(), request(style="nope"))
    with pytest.raises(RequestError, match="prompt"):
        manager.submit(new_id(), request(prompt="half a pair \ud83d"))
    assert list(tmp_path.iterdir()) == []


# -- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_stops_a_running_job_and_keeps_what_was_pushed(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    job = held(studio, manager, new_id(), at=20)
    pushed = job.log_path.read_bytes()
    manager.cancel(job.id)
    assert ended(job) is State.CANCELLED
    assert job.log_path.read_bytes() == pushed
    assert frames_of(job.video_path.read_bytes()) == 20
    assert manager.state(job.id)["error"] is None


def test_cancel_before_the_first_frame_leaves_no_file(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    job = held(studio, manager, new_id(), at=0)
    manager.cancel(job.id)
    assert ended(job) is State.CANCELLED
    assert not job.video_path.exists()
    assert not job.has_poster


def test_cancel_of_an_ended_job_changes_nothing(manager: JobManager, new_id: NewId) -> None:
    job, _ = manager.submit(new_id(), request())
    assert ended(job) is State.DONE
    before = manager.state(job.id)
    manager.cancel(job.id)
    assert manager.state(job.id) == before


# -- failures --------------------------------------------------------------------------------------------------------


class OutOfMemoryError(RuntimeError):
    """Stands where torch's own class of that name would."""


@pytest.mark.parametrize(
    ("error", "words_en", "words_zh"),
    [
        (MemoryError(), "Out of memory", "内存不足"),
        (OutOfMemoryError("CUDA out of memory"), "Out of memory", "内存不足"),
        (OSError(28, "No space left on device", "/secret/path"), "disk is full", "磁盘已满"),
        (EncoderError("no session left"), "no session left", "视频编码失败"),
        (RequestError("style", "x", "one of them", "其中之一"), "style: given 'x'", "其中之一"),
        (WanError("the cache is broken"), "the cache is broken", "生成失败"),
        (ValueError("/secret/path"), "Internal error (ValueError)", "内部错误（ValueError）"),
        (SystemExit(3), "Internal error (SystemExit)", "内部错误（SystemExit）"),
    ],
)
def test_a_failure_is_told_in_both_languages_and_the_next_job_runs(
    studio: Studio, manager: JobManager, new_id: NewId, error: BaseException, words_en: str, words_zh: str
) -> None:
    studio.raise_at, studio.error = 5, error
    job, _ = manager.submit(new_id(), request())
    assert ended(job) is State.FAILED
    told = manager.state(job.id)["error"]
    assert words_en in told["message_en"]
    assert words_zh in told["message_zh"]
    assert "secret" not in str(told)
    assert frames_of(job.video_path.read_bytes()) == 5, "what was made stays, and is finished"
    studio.raise_at = None
    following, _ = manager.submit(new_id(), request())
    assert ended(following) is State.DONE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_disk_that_fills_up_fails_the_job_in_clear_words_and_the_next_job_runs(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    job = held(studio, manager, new_id(), at=5)
    job.log_path.unlink()
    job.log_path.symlink_to("/dev/full")
    studio.go.set()
    assert ended(job) is State.FAILED
    assert manager.state(job.id)["error"]["message_en"] == "The server's disk is full."
    assert job.frames == 5, "only what was written whole is counted"
    following, _ = manager.submit(new_id(), request())
    assert ended(following) is State.DONE


def test_a_clip_of_too_few_frames_has_failed(tmp_path: Path, studio: Studio, new_id: NewId) -> None:
    short = JobManager(
        tmp_path,
        lambda wanted, *told: itertools.islice(studio.produce(wanted, *told), 12),
        memory_used=lambda: 0,
    )
    short.start()
    job, _ = short.submit(new_id(), request())
    assert ended(job) is State.FAILED
    assert "10 of 48 frames" in short.state(job.id)["error"]["message_en"]
    short.close()


def test_words_never_depend_on_torch() -> None:
    code = "import sys, web.jobs; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert describe(MemoryError()).message_zh


# -- readers ---------------------------------------------------------------------------------------------------------


def test_readers_from_any_offset_get_the_same_bytes_while_it_grows(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    job = held(studio, manager, new_id(), at=20)
    so_far = job.log_bytes

    async def read_all() -> list[bytes]:
        readers = [asyncio.create_task(collect(job, offset)) for offset in (0, 1000, so_far, so_far + 5)]
        await asyncio.sleep(0.1)
        assert not any(reader.done() for reader in readers), "they wait for more"
        studio.go.set()
        return await asyncio.wait_for(asyncio.gather(*readers), WAIT_S)

    read = asyncio.run(read_all())
    log = job.log_path.read_bytes()
    assert read == [log, log[1000:], log[so_far:], log[so_far + 5 :]]
    assert ended(job) is State.DONE


def test_a_reader_sees_each_fragment_as_it_comes(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    job = held(studio, manager, new_id(), at=1)

    async def first_bytes() -> bytes:
        reader = job.read(0)
        data = await asyncio.wait_for(anext(reader), WAIT_S)
        await reader.aclose()
        return data

    assert frames_of(asyncio.run(first_bytes())) == 1, "frame 0 is out before frame 1 is made"
    studio.go.set()
    ended(job)


def test_a_reader_that_stands_still_or_vanishes_does_not_hold_the_job(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    job = held(studio, manager, new_id(), at=5)

    async def stall() -> None:
        stalled, vanished = job.read(0), job.read(0)
        await anext(stalled)
        await anext(vanished)
        await vanished.aclose()
        studio.go.set()
        assert await asyncio.to_thread(job.wait_until_ended, WAIT_S)
        await stalled.aclose()

    asyncio.run(stall())
    assert job.state is State.DONE


def test_a_reader_of_a_closed_loop_is_forgotten(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    job = held(studio, manager, new_id(), at=5)
    loop = asyncio.new_event_loop()
    reader = job.read(0)
    loop.run_until_complete(anext(reader))
    loop.close()
    studio.go.set()
    assert ended(job) is State.DONE


def test_waiting_costs_no_time_of_the_processor(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    job = held(studio, manager, new_id(), at=5)

    async def wait() -> float:
        readers = [asyncio.create_task(collect(job, job.log_bytes)) for _ in range(20)]
        await asyncio.sleep(0.05)
        before = time.thread_time()
        await asyncio.sleep(0.5)
        spent = time.thread_time() - before
        studio.go.set()
        await asyncio.wait_for(asyncio.gather(*readers), WAIT_S)
        return spent

    assert asyncio.run(wait()) < 0.02
    assert ended(job) is State.DONE


def test_the_poster_can_be_waited_for(studio: Studio, manager: JobManager, new_id: NewId) -> None:
    job = held(studio, manager, new_id(), at=0)

    async def wait() -> bool:
        waiting = asyncio.create_task(job.until_poster())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        studio.go.set()
        await asyncio.wait_for(waiting, WAIT_S)
        return job.has_poster

    assert asyncio.run(wait())
    ended(job)


# -- disk and restart ------------------------------------------------------------------------------------------------


def test_after_a_crash_ended_jobs_are_whole_and_others_say_that_they_were_interrupted(
    studio: Studio, manager: JobManager, new_id: NewId, tmp_path: Path
) -> None:
    done, _ = manager.submit(new_id(), request())
    ended(done)
    running = held(studio, manager, new_id(), at=20)
    waiting, _ = manager.submit(new_id(), request(batch_size=2))
    root, copy = tmp_path / "jobs", tmp_path / "after-the-crash"
    shutil.copytree(root, copy)
    with (copy / running.id / "log.mp4").open("ab") as log:
        log.write(b"\x00\x00\x01\x00moof, and then the power went")
    (copy / "not a job").mkdir()
    (copy / ("f" * 32)).mkdir()

    found = JobManager(copy, studio.produce, memory_used=lambda: 0)
    before, after = manager.state(done.id), found.state(done.id)
    assert after == before
    assert found.get(done.id).video_path.read_bytes() == done.video_path.read_bytes()
    for job_id in (running.id, waiting.id, f"{waiting.id}-1"):
        state = found.state(job_id)
        assert (state["state"], state["error"]["message_zh"]) == ("interrupted", INTERRUPTED.message_zh)
    kept = found.get(running.id)
    assert (kept.frames, kept.log_bytes) == (20, running.log_bytes)
    assert kept.log_path.stat().st_size == running.log_bytes, "the torn end is gone"
    assert asyncio.run(collect(kept)) == running.log_path.read_bytes()
    assert frames_of(kept.video_path.read_bytes()) == 20, "a file that can be seeked in"
    assert found.submit(done.id, request()) == (found.get(done.id), False)
    with pytest.raises(UnknownJob):
        found.get("f" * 32)
    assert JobManager(copy, studio.produce, memory_used=lambda: 0).state(running.id) == found.state(running.id)


def test_closing_interrupts_the_running_and_the_waiting(
    studio: Studio, manager: JobManager, new_id: NewId, tmp_path: Path
) -> None:
    running = held(studio, manager, new_id())
    waiting, _ = manager.submit(new_id(), request())
    manager.close()
    for job in (running, waiting):
        assert job.state is State.INTERRUPTED
        assert json.loads((tmp_path / "jobs" / job.id / "state.json").read_text())["state"] == "interrupted"
        assert manager.state(job.id)["error"]["message_en"] == INTERRUPTED.message_en


def test_jobs_are_accepted_before_the_model_is_there(studio: Studio, tmp_path: Path, new_id: NewId) -> None:
    manager = JobManager(tmp_path, studio.produce, memory_used=lambda: 0)
    job, _ = manager.submit(new_id(), request())
    assert (job.state, manager.starts_now(job)) == (State.QUEUED, False)
    manager.start()
    assert ended(job) is State.DONE
    with pytest.raises(RuntimeError):
        manager.start()
    manager.close()


def test_only_so_many_ended_jobs_are_kept(studio: Studio, tmp_path: Path, new_id: NewId) -> None:
    manager = JobManager(tmp_path, studio.produce, memory_used=lambda: 0, max_kept=2)
    manager.start()
    jobs = [manager.submit(new_id(), request(seed))[0] for seed in range(4)]
    assert {ended(job) for job in jobs} == {State.DONE}
    manager.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(job.id for job in jobs[2:])
    with pytest.raises(UnknownJob):
        manager.get(jobs[0].id)


def test_a_torn_write_is_never_shown_and_is_overwritten(tmp_path: Path, studio: Studio) -> None:
    job = Job(
        tmp_path / "job", "job", request(), submitted=request(), arrived_s=0.0, created_at_s=0.0, memory_used=lambda: 0
    )
    job.create()
    pieces = list(itertools.islice(studio.produce(request(), never, ignore), 5))
    for piece in pieces[:3]:
        job.accept(piece)
    with job.log_path.open("ab") as log:
        log.write(b"half a fragment")
    assert job.log_bytes == job.log_path.stat().st_size - len(b"half a fragment")
    for piece in pieces[3:]:
        job.accept(piece)
    assert mp4.measure(job.log_path) == mp4.Extent(job.log_bytes, 3)


def test_a_producer_that_raises_cancelled_by_itself_ends_the_job_as_cancelled(
    studio: Studio, manager: JobManager, new_id: NewId
) -> None:
    studio.raise_at, studio.error = 0, Cancelled("stopped")
    job, _ = manager.submit(new_id(), request())
    assert ended(job) is State.CANCELLED
