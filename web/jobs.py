"""Jobs in the order in which they came, one at a time: the queue and the one model thread.

Owns the queue, the thread and the folder of all jobs. What a job makes is injected as `produce`; nothing here knows the
model, and torch is never imported. A job belongs to the server: no connection, open or closed, disturbs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.encode import Fragment, InitSegment, Poster
from pipeline.errors import Cancelled, RequestError, WanError
from pipeline.past import Past
from pipeline.progress import NextPrompt, Observe, Stop
from pipeline.request import VideoRequest
from web.job import Job
from web.job_errors import JobConflict, NotEnded, QueueFull, UnknownJob
from web.job_state import INTERRUPTED, Failure, State, describe

Produce = Callable[
    [VideoRequest, Stop, Observe, NextPrompt, Path, Past | None], Iterator[Poster | InitSegment | Fragment]
]
"""The arguments of `pipeline.stream` in its order; the folder is the job's own, for its latents."""

_LOG = logging.getLogger(__name__)
_CLIENT_ID = re.compile(r"[0-9a-f]{32}")
_JOB_ID = re.compile(r"[0-9a-f]{32}(-[1-9])?")
_JOIN_S = 10.0


def _require_unicode(request: VideoRequest) -> None:
    """JSON can carry half of a surrogate pair, which no file can hold and no tokenizer read."""
    texts = [(field, getattr(request, field)) for field in ("prompt", "negative_prompt", "style")]
    for field, text in [*texts, *(("prompt_changes", change.prompt) for change in request.prompt_changes)]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RequestError(field, "a lone surrogate", "valid Unicode text", "有效的 Unicode 文本") from error


def no_check(_: VideoRequest) -> None:
    """A `check` that lets every request pass."""


class JobManager:
    """Queue, model thread and every job that is on disk.

    Jobs of an earlier run are found again at once. Submissions are accepted from the
    start and wait until `start` is called, which is when the model is ready.

    Args:
        root: folder of all jobs, one folder each; made if missing.
        produce: makes one clip; asked in the model thread only; raises `Cancelled` when its `Stop` says so.
        memory_used: bytes in use now, for each job's `memory_bytes`.
        check: raises `RequestError` for what only the server can judge (an unknown style, malformed weights).
        max_queued: clips that may wait.
        max_kept: ended jobs that stay on disk; the oldest go first.

    Raises:
        OSError: if `root` cannot be made or read.
    """

    def __init__(
        self,
        root: Path,
        produce: Produce,
        *,
        memory_used: Callable[[], int],
        check: Callable[[VideoRequest], None] = no_check,
        max_queued: int = 16,
        max_kept: int = 100,
    ) -> None:
        self._root = root
        self._produce = produce
        self._memory_used = memory_used
        self._check = check
        self._max_queued = max_queued
        self._max_kept = max_kept
        self._wake = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._closing = False
        self._thread: threading.Thread | None = None
        root.mkdir(parents=True, exist_ok=True)
        self._jobs: dict[str, Job] = {job.id: job for job in self._found()}

    def start(self) -> None:
        """Begin to work; call once."""
        with self._wake:
            if self._thread is not None:
                raise RuntimeError("the job manager was started before")
            self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the running job and the thread. Jobs that had not ended say that they were interrupted."""
        with self._wake:
            self._closing = True
            running = self._running
            while self._waiting:
                self._waiting.popleft().enter(State.INTERRUPTED, INTERRUPTED)
            self._wake.notify_all()
        if running is not None:
            running.request_cancel()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    # -- asked from anywhere ----------------------------------------------------------------------------------------

    def submit(
        self, job_id: str, request: VideoRequest, *, continues: str = "", arrived_s: float | None = None
    ) -> tuple[Job, bool]:
        """Queue a request; the same id with the same request again is the same job.

        Args:
            job_id: 32 lower-case hexadecimal digits, chosen at random by the client.
            request: as the person asked; a batch becomes one job a clip, `job_id`, `job_id-1`, …
            continues: id of an ended job; the new one begins with its frames and goes on from its latents.
            arrived_s: `time.perf_counter()` when the submission arrived; None for now.

        Returns:
            The (first) job, and whether this call made it.

        Raises:
            RequestError: bad id, what `check` refuses, or a job that cannot be continued so.
            JobConflict: the id is taken by another request.
            QueueFull: no room for all clips.
            OSError: the disk refuses.
        """
        if not _CLIENT_ID.fullmatch(job_id):
            raise RequestError("id", job_id, "32 hexadecimal digits, lower case", "32 位小写十六进制数字")
        arrived_s = time.perf_counter() if arrived_s is None else arrived_s
        with self._wake:
            known = self._jobs.get(job_id)
            if known is not None:
                if known.submitted != request or known.continues != continues:
                    raise JobConflict(f"job {job_id} exists with another request")
                return known, False
            _require_unicode(request)
            self._check(request)
            earlier = self._earlier(request, continues) if continues else None
            clips = request.clips()
            if len(self._waiting) + len(clips) > self._max_queued:
                raise QueueFull(self._max_queued)
            ids = [job_id, *(f"{job_id}-{i}" for i in range(1, len(clips)))]
            jobs = [
                Job(
                    self._root / name,
                    name,
                    clip,
                    submitted=request if name == job_id else clip,
                    clips=tuple(ids[1:]) if name == job_id else (),
                    continues=continues,
                    kept_frames=earlier.frames if earlier is not None else 0,
                    arrived_s=arrived_s,
                    created_at_s=time.time(),
                    memory_used=self._memory_used,
                )
                for name, clip in zip(ids, clips, strict=True)
            ]
            try:
                for job in jobs:
                    job.create(earlier)
            except OSError:
                for job in jobs:
                    shutil.rmtree(self._root / job.id, ignore_errors=True)
                raise
            self._jobs.update((job.id, job) for job in jobs)
            self._waiting.extend(jobs)
            self._wake.notify_all()
        return jobs[0], True

    def _earlier(self, request: VideoRequest, job_id: str) -> Job:
        """The job to go on from, if this request can.

        Raises:
            RequestError: says why it cannot.
        """
        job = self._jobs.get(job_id)
        if job is None or not job.can_continue:
            en, zh = "an ended job with frames, made block by block", "已结束、有画面且逐块生成的任务"
            raise RequestError("continues", job_id if job is None else job.state.value, en, zh)
        old = job.request
        for field, given, allowed in (
            ("size", (request.width, request.height), (old.width, old.height)),
            ("fps", request.fps, old.fps),
            ("batch_size", request.batch_size, 1),
            ("earlier_seconds", request.earlier_seconds, old.earlier_seconds + (old.seconds if job.complete else 0)),
        ):
            if given != allowed:
                raise RequestError(field, given, str(allowed), str(allowed))
        if request.num_frames <= job.frames:
            least = job.frames // old.fps - old.earlier_seconds
            raise RequestError("seconds", request.seconds, f"more than {least}", f"大于 {least}")
        return job

    def continue_job(self, new_id: str, job_id: str, seconds: int) -> Job:
        """Complete an ended job that was cut short, or add seconds to a complete one, with the settings that it had.

        Raises:
            UnknownJob: there is none of that id.
            RequestError, QueueFull, OSError: as `submit`.
        """
        job = self.get(job_id)
        request = job.request
        if job.complete:
            earlier = request.earlier_seconds + request.seconds
            request = dataclasses.replace(request, seconds=seconds, earlier_seconds=earlier)
        return self.submit(new_id, request, continues=job_id)[0]

    def delete(self, job_id: str) -> None:
        """Forget an ended job, and remove what it made.

        Raises:
            UnknownJob: there is none.
            NotEnded: it waits or runs.
            OSError: the disk refuses.
        """
        job = self.get(job_id)
        with self._wake:
            if not job.state.ended:
                raise NotEnded(f"job {job_id} is {job.state}")
            self._jobs.pop(job_id, None)
        shutil.rmtree(self._root / job_id)

    def states(self, job_ids: Iterable[str]) -> list[dict[str, Any]]:
        """State JSON of those of these jobs that there are, in the same order."""
        known = []
        for job_id in job_ids:
            with contextlib.suppress(UnknownJob):
                known.append(self.state(job_id))
        return known

    def get(self, job_id: str) -> Job:
        """The job of that id.

        Raises:
            UnknownJob: there is none (a malformed id included; it is never made into a path).
        """
        with self._wake:
            job = self._jobs.get(job_id) if _JOB_ID.fullmatch(job_id) else None
        if job is None:
            raise UnknownJob("no such job")
        return job

    def cancel(self, job_id: str) -> Job:
        """Cancel a waiting job at once, a running one at its next step; an ended one stays as it is.

        Raises:
            UnknownJob: there is none.
        """
        job = self.get(job_id)
        job.request_cancel()
        with self._wake:
            if job in self._waiting:
                self._waiting.remove(job)
                job.enter(State.CANCELLED)
        return job

    def change_prompt(self, job_id: str, prompt: str) -> Job:
        """Have another prompt take effect with the next block of a running job.

        Raises:
            UnknownJob: there is none.
            RequestError: the prompt is refused as in a submission.
            TooLate: the job does not run, or its last block is being made.
        """
        job = self.get(job_id)
        changed = dataclasses.replace(job.request, prompt=prompt)
        _require_unicode(changed)
        self._check(changed)
        job.change_prompt(prompt)
        return job

    def state(self, job_id: str) -> dict[str, Any]:
        """State JSON of a job (see docs/streaming.md).

        Raises:
            UnknownJob: there is none.
        """
        job = self.get(job_id)
        return job.state_json(queue_position=self.queue_position(job))

    def queue_position(self, job: Job) -> int:
        """Jobs that are ahead of this one, the running one included; 0 for one that does not wait."""
        with self._wake:
            if job not in self._waiting:
                return 0
            return self._waiting.index(job) + (self._running is not None)

    def starts_now(self, job: Job) -> bool:
        """Whether a reader of this job waits for its bytes alone, not for the model to load or for other jobs."""
        with self._wake:
            if self._thread is None:
                return False
            # A running job that only writes its file is out of the way in milliseconds.
            in_the_way = self._running is not None and not self._running.state.log_complete
            return job not in self._waiting or (self._waiting[0] is job and not in_the_way)

    @property
    def queue_length(self) -> int:
        """Clips that wait."""
        return len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a clip is being made."""
        return self._running is not None

    # -- the model thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._wake:
                self._running = None
                self._wake.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                self._running = job = self._waiting.popleft()
            self._run(job)
            self._prune()

    def _run(self, job: Job) -> None:
        job.enter(State.RUNNING)
        end, failure = State.DONE, None
        try:
            self._make(job)
        except Cancelled:
            end, failure = (State.INTERRUPTED, INTERRUPTED) if self._closing else (State.CANCELLED, None)
        except BaseException as error:  # a panic in a native library included: the next job must run
            _LOG.exception("job %s failed", job.id)
            end, failure = State.FAILED, describe(error)
        end, failure = self._finish(job, end, failure)
        job.enter(end, failure)
        if end is not State.DONE:
            gc.collect()  # the exception's frames are gone, and what they held is freed before the next job

    def _make(self, job: Job) -> None:
        pieces = self._produce(
            job.request, job.cancel_requested, job.observe, job.next_prompt, job.latents_path, job.past
        )
        try:
            for piece in pieces:
                if job.cancel_requested():
                    raise Cancelled
                job.accept(piece)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        job.check_complete()

    def _finish(self, job: Job, end: State, failure: Failure | None) -> tuple[State, Failure | None]:
        if not job.frames:
            return end, failure
        job.enter(State.FINISHING)
        try:
            job.finish()
        except (WanError, OSError) as error:
            # What was pushed stays playable as it is; only a job that went well until here has failed by this.
            _LOG.exception("job %s could not be finished", job.id)
            return (State.FAILED, describe(error)) if end is State.DONE else (end, failure)
        return end, failure

    def _prune(self) -> None:
        with self._wake:
            ended = sorted((job for job in self._jobs.values() if job.state.ended), key=lambda job: job.created_at_s)
            gone = ended[: max(0, len(ended) - self._max_kept)]
            for job in gone:
                del self._jobs[job.id]
        for job in gone:
            shutil.rmtree(self._root / job.id, ignore_errors=True)

    def _found(self) -> Iterator[Job]:
        for folder in sorted(self._root.iterdir()):
            if not _JOB_ID.fullmatch(folder.name):
                continue
            try:
                job = Job.restore(folder, memory_used=self._memory_used)
            except (OSError, ValueError, KeyError, TypeError):
                _LOG.warning("job folder %s is not whole and is left alone", folder.name, exc_info=True)
                continue
            if job.id == folder.name:
                yield job
