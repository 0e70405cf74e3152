"""One job: its append-only log on disk, its counters, and everyone who waits for it to change.

Owns a folder (`log.mp4`, `first.jpg`, `video.mp4`, `state.json`) and the state JSON. Written by the model thread alone,
read from any thread or event loop; a reader never makes the writer wait. Knows no queue and no other job.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import functools
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from pipeline import mp4
from pipeline.encode import Fragment, InitSegment, Poster, finish
from pipeline.errors import WanError
from pipeline.progress import Progress
from pipeline.request import VideoRequest
from web.job_state import INTERRUPTED, TRANSITIONS, Failure, State

READ_BYTES = 256 * 1024

_LOG = logging.getLogger(__name__)


class Job:
    """One person's run of one clip.

    Args:
        folder: the job's own folder; made by `create` or found by `restore`.
        job_id: its name.
        request: one clip with a definite seed.
        submitted: the request as it came, by which a repeated submission is told from another one.
        clips: ids of the further clips of the same batch.
        arrived_s: `time.perf_counter()` when the submission arrived; marks count from there.
        created_at_s: Unix time of the submission.
        memory_used: bytes in use now; read at each piece of work.
    """

    def __init__(
        self,
        folder: Path,
        job_id: str,
        request: VideoRequest,
        *,
        submitted: VideoRequest,
        clips: tuple[str, ...] = (),
        arrived_s: float,
        created_at_s: float,
        memory_used: Callable[[], int],
    ) -> None:
        self.id = job_id
        self.request = request
        self.submitted = submitted
        self.created_at_s = created_at_s
        self.log_path = folder / "log.mp4"
        self.poster_path = folder / "first.jpg"
        self.video_path = folder / "video.mp4"
        self._state_path = folder / "state.json"
        self._clips = clips
        self._arrived_s = arrived_s
        self._memory_used = memory_used
        self._changed = threading.Condition()
        self._watchers: set[Callable[[], object]] = set()
        self._cancel = threading.Event()
        self._state = State.QUEUED
        self._failure: Failure | None = None
        self._has_poster = False
        self._bytes = self._frames = 0
        self._block = self._num_blocks = self._step = self._num_steps = 0
        self._codec = self._encoder = ""
        self._marks_ms: dict[str, float] = {}
        self._last_fragment_ms: float | None = None
        self._memory_bytes = 0

    # -- made, kept, found again ------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the folder with an empty log, and accept the job.

        Raises:
            OSError: if the disk refuses.
        """
        self.log_path.parent.mkdir(parents=True)
        self.log_path.touch()
        self._mark("accepted")
        self._save()

    @classmethod
    def restore(cls, folder: Path, *, memory_used: Callable[[], int]) -> Job:
        """Find a job of an earlier run of the server; one that had not ended has failed, and says it was interrupted.

        Raises:
            OSError, ValueError, KeyError, TypeError: if the folder is not a whole job.
        """
        saved: Mapping[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        job = cls(
            folder,
            saved["id"],
            VideoRequest.from_mapping(saved["request"]),
            submitted=VideoRequest.from_mapping(saved["submitted"]),
            clips=tuple(saved["clips"]),
            arrived_s=time.perf_counter(),
            created_at_s=saved["created_at_s"],
            memory_used=memory_used,
        )
        job._state = State(saved["state"])
        job._failure = Failure(**saved["error"]) if saved["error"] else None
        job._bytes, job._frames = saved["bytes"], saved["frames"]
        job._block, job._num_blocks = saved["block"], saved["num_blocks"]
        job._step, job._num_steps = saved["step"], saved["num_steps"]
        job._codec, job._encoder = saved["codec"], saved["encoder"]
        job._marks_ms, job._last_fragment_ms = dict(saved["marks_ms"]), saved["last_fragment_ms"]
        job._memory_bytes = saved["memory_bytes"]
        job._has_poster = job.poster_path.exists()
        if not job._state.ended:
            extent = mp4.measure(job.log_path)
            os.truncate(job.log_path, extent.bytes)
            job._bytes, job._frames = extent.bytes, extent.fragments
            job._state, job._failure = State.FAILED, INTERRUPTED
            job._save()
        return job

    def _save(self) -> None:
        kept = {
            **self.state_json(queue_position=0),
            "submitted": dataclasses.asdict(self.submitted),
            "created_at_s": self.created_at_s,
            "last_fragment_ms": self._last_fragment_ms,
        }
        draft = self._state_path.with_suffix(".part")
        draft.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        os.replace(draft, self._state_path)

    # -- written by the model thread --------------------------------------------------------------------------------

    def enter(self, state: State, failure: Failure | None = None) -> None:
        """Go to another state, keep it on disk and wake everyone who waits.

        Raises:
            ValueError: if `state` may not follow the present one.
        """
        with self._changed:
            if state not in TRANSITIONS[self._state]:
                raise ValueError(f"job {self.id}: {state} may not follow {self._state}")
            self._state, self._failure = state, failure
        if state is State.RUNNING:
            self._mark("started")
        try:
            self._save()
        except OSError:
            # A full disk must not take the model thread down; in memory the state is right.
            _LOG.exception("state of job %s could not be kept", self.id)
        self._notify()

    def accept(self, piece: Poster | InitSegment | Fragment) -> None:
        """Append a piece to what was made. Only bytes that are whole on disk are counted and shown.

        Raises:
            OSError: if the disk refuses; the log then still ends at a whole fragment for every reader.
        """
        match piece:
            case Poster():
                self._mark("first_frame")
                draft = self.poster_path.with_suffix(".part")
                draft.write_bytes(piece.jpeg)
                os.replace(draft, self.poster_path)
                self._has_poster = True
            case InitSegment():
                self._codec, self._encoder = piece.codec, piece.encoder
                self._append(piece.data, frames=0)
                self._save()
            case Fragment():
                self._append(piece.data, frames=1)
                self._mark("first_fragment")
                self._last_fragment_ms = self._now_ms()
        self._sample_memory()
        self._notify()

    def observe(self, progress: Progress) -> None:
        """Take note of progress; may be called from any thread that works for this job."""
        if progress.stage == "denoise":
            self._block, self._num_blocks = progress.block, progress.num_blocks
            self._step, self._num_steps = progress.step, progress.num_steps
            if progress.step == progress.num_steps:
                self._mark("first_latent")
        elif progress.stage == "decode":
            self._mark("first_frame")
        self._sample_memory()
        self._notify()

    def finish(self) -> None:
        """Write the seekable file from the log; nothing to do where no frame was made.

        Raises:
            EncoderError, OSError: if it cannot be written; the log stays as it is.
        """
        os.truncate(self.log_path, self._bytes)  # a write that failed half-way may have left a torn end
        if self._frames:
            finish(self.log_path, self.video_path, self.request.to_json())

    def check_complete(self) -> None:
        """Raise `WanError` unless exactly the frames that were asked for are in the log."""
        if self._frames != self.request.num_frames:
            raise WanError(f"{self._frames} of {self.request.num_frames} frames were made")

    def _append(self, data: bytes, *, frames: int) -> None:
        with self.log_path.open("r+b", buffering=0) as log:
            log.seek(self._bytes)
            if log.write(data) != len(data):
                raise OSError(errno.ENOSPC, "the disk took only a part of a fragment")
        with self._changed:
            self._bytes += len(data)
            self._frames += frames

    # -- asked from anywhere ----------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    @property
    def has_poster(self) -> bool:
        return self._has_poster

    @property
    def log_bytes(self) -> int:
        """Whole bytes of the log: it ends at the init segment or a fragment."""
        return self._bytes

    @property
    def frames(self) -> int:
        """Frames in the log."""
        return self._frames

    def cancel_requested(self) -> bool:
        """A `Stop` for the walk."""
        return self._cancel.is_set()

    def request_cancel(self) -> None:
        """Ask the model thread to stop at its next chance; without effect once the log is complete."""
        self._cancel.set()

    def wait_until_ended(self, timeout_s: float | None = None) -> bool:
        """Block the calling thread until the job has ended; False if `timeout_s` passed first. Not for event loops."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state.ended, timeout_s)

    @contextlib.contextmanager
    def watch(self) -> Generator[asyncio.Event]:
        """An event of the running loop that is set at every change of the job. Clear it *before* looking at the job."""
        event = asyncio.Event()
        wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, event.set)
        with self._changed:
            self._watchers.add(wake)
        try:
            yield event
        finally:
            with self._changed:
                self._watchers.discard(wake)

    async def until_poster(self) -> None:
        """Wait until frame 0 is there, or until it never will be."""
        with self.watch() as changed:
            while not (self._has_poster or self._state.log_complete):
                await changed.wait()
                changed.clear()

    async def read(self, offset: int) -> AsyncIterator[bytes]:
        """Read the log from a byte on, following it while it grows; ends when the job has ended and all was read."""
        with self.watch() as changed, self.log_path.open("rb") as log:
            log.seek(offset)
            while True:
                changed.clear()
                with self._changed:
                    end, ended = self._bytes, self._state.ended
                while offset < end:
                    # Freshly appended bytes lie in the page cache: a thread per read would cost more than the read.
                    data = log.read(min(READ_BYTES, end - offset))
                    offset += len(data)
                    yield data
                if ended:
                    return
                await changed.wait()

    def state_json(self, *, queue_position: int) -> dict[str, Any]:
        """The state as the routes give it (see docs/streaming.md)."""
        with self._changed:
            request, marks = self.request, dict(self._marks_ms)
            generation_fps = self._generation_fps()
            return {
                "id": self.id,
                "state": self._state.value,
                "queue_position": queue_position,
                "num_frames": request.num_frames,
                "frames": self._frames,
                "block": self._block,
                "num_blocks": self._num_blocks,
                "step": self._step,
                "num_steps": self._num_steps,
                "bytes": self._bytes,
                "codec": self._codec,
                "encoder": self._encoder,
                "width": request.width,
                "height": request.height,
                "fps": request.fps,
                "seed": request.seed,
                "first_frame_ms": marks.get("first_frame"),
                "generation_fps": None if generation_fps is None else round(generation_fps, 2),
                "eta_ms": self._eta_ms(generation_fps),
                "marks_ms": marks,
                "memory_bytes": self._memory_bytes,
                "error": None if self._failure is None else dataclasses.asdict(self._failure),
                "clips": list(self._clips),
                "request": dataclasses.asdict(request),
            }

    # -- within -----------------------------------------------------------------------------------------------------

    def _generation_fps(self) -> float | None:
        started_ms = self._marks_ms.get("started")
        if self._last_fragment_ms is None or started_ms is None or self._last_fragment_ms <= started_ms:
            return None
        return self._frames * 1000 / (self._last_fragment_ms - started_ms)

    def _eta_ms(self, generation_fps: float | None) -> float | None:
        if self._state.log_complete:
            return 0.0
        if generation_fps is None or self._last_fragment_ms is None:
            return None
        left_ms = (self.request.num_frames - self._frames) * 1000 / generation_fps
        return round(max(0.0, left_ms - (self._now_ms() - self._last_fragment_ms)), 1)

    def _now_ms(self) -> float:
        return (time.perf_counter() - self._arrived_s) * 1000

    def _mark(self, name: str) -> None:
        with self._changed:
            self._marks_ms.setdefault(name, round(self._now_ms(), 2))

    def _sample_memory(self) -> None:
        self._memory_bytes = max(self._memory_bytes, self._memory_used())

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
            watchers = tuple(self._watchers)
        for wake in watchers:
            # A loop that has closed cannot be woken; its watcher is gone with it.
            with contextlib.suppress(RuntimeError):
                wake()
