"""One job: its append-only log on disk, its counters, and everyone who waits for it to change.

Owns a folder (`log.mp4`, `first.jpg`, `video.mp4`, `latents/`, `past.mp4`, `state.json`) and the state JSON. Written by
the model thread alone, read from any thread or event loop; a reader never makes the writer wait. Knows no queue.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline import mp4
from pipeline.encode import Fragment, InitSegment, Poster, finish
from pipeline.errors import WanError
from pipeline.past import Past
from pipeline.progress import Progress
from pipeline.request import PromptChange, VideoRequest
from web.events import EventLog
from web.job_clock import JobClock
from web.job_errors import TooLate
from web.job_state import INTERRUPTED, TRANSITIONS, Failure, State
from web.sharing import share, share_all
from web.watched import Watched

READ_BYTES = 256 * 1024


_LOG = logging.getLogger(__name__)


class Job(Watched):
    """One person's run of one clip.

    Args:
        folder: the job's own folder; made by `create` or found by `restore`.
        job_id: its name.
        request: one clip with a definite seed.
        submitted: the request as it came, by which a repeated submission is told from another one.
        clips: ids of the further clips of the same batch.
        continues: id of the job that this one goes on from, or "".
        kept_frames: frames at the front that are taken over from it.
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
        continues: str = "",
        kept_frames: int = 0,
        arrived_s: float,
        created_at_s: float,
        memory_used: Callable[[], int],
    ) -> None:
        super().__init__()
        self.id = job_id
        self.request = request
        self.submitted = submitted
        self.created_at_s = created_at_s
        self.log_path = folder / "log.mp4"
        self.poster_path = folder / "first.jpg"
        self.video_path = folder / "video.mp4"
        self.latents_path = folder / "latents"
        self.continues = continues
        self.kept_frames = kept_frames
        self._past_path = folder / "past.mp4"
        self._state_path = folder / "state.json"
        self._clips = clips
        self._clock = JobClock(arrived_s)
        self.events = EventLog(arrived_s)
        self._memory_used = memory_used
        self._cancel = threading.Event()
        self._state = State.QUEUED
        self._failure: Failure | None = None
        self._has_poster = False
        self._bytes = self._frames = 0
        self._block = self._num_blocks = self._step = self._num_steps = 0
        self._codec = self._encoder = ""
        self._memory_bytes = 0
        self._next_prompt: str | None = None
        self._saving = threading.Lock()

    # -- made, kept, found again ------------------------------------------------------------------------------------

    def create(self, earlier: Job | None = None) -> None:
        """Make the folder with an empty log, and accept the job.

        Args:
            earlier: the ended job that this one goes on from; its files are shared, so that it may be deleted.

        Raises:
            OSError: if the disk refuses.
        """
        self.log_path.parent.mkdir(parents=True)
        self.log_path.touch()
        if earlier is not None:
            share(earlier.log_path, self._past_path)
            share(earlier.poster_path, self.poster_path)
            share_all(earlier.latents_path, self.latents_path)
        self._has_poster = earlier is not None
        self._clock.mark("accepted")
        self._save()

    @classmethod
    def restore(cls, folder: Path, *, memory_used: Callable[[], int]) -> Job:
        """Find a job of an earlier run of the server; one that had not ended was interrupted, and says so.

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
            continues=saved.get("continues", ""),  # not kept by the first version
            kept_frames=saved.get("kept_frames", 0),
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
        job._clock.marks_ms, job._clock.last_fragment_ms = dict(saved["marks_ms"]), saved["last_fragment_ms"]
        job._memory_bytes = saved["memory_bytes"]
        job._has_poster = job.poster_path.exists()
        if not job._state.ended:
            job._recover()
        return job

    def _recover(self) -> None:
        """Make the best of what a stopped server left: every whole fragment, in a file that can be seeked in."""
        if mp4.measure(self.log_path).fragments < self.kept_frames and self._past_path.exists():
            shutil.copyfile(self._past_path, self.log_path)
        extent = mp4.measure(self.log_path)
        self._bytes, self._frames = extent.bytes, extent.fragments
        try:
            self.finish()
        except WanError:
            _LOG.exception("what is left of job %s could not be finished", self.id)
        self._state, self._failure = State.INTERRUPTED, INTERRUPTED
        self._save()

    def _save(self) -> None:
        kept = {
            **self.state_json(queue_position=0),
            "submitted": dataclasses.asdict(self.submitted),
            "last_fragment_ms": self._clock.last_fragment_ms,
        }
        draft = self._state_path.with_suffix(".part")
        with self._saving:
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
        self.events.note(f"{state}" if failure is None else f"{state}: {failure.message_en}")
        if state is State.RUNNING:
            self._clock.mark("started")
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
                self._clock.mark("first_frame")
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
                self._clock.mark("first_fragment")
                self._clock.fragment()
        self._sample_memory()
        self._notify()

    def observe(self, progress: Progress) -> None:
        """Take note of progress; may be called from any thread that works for this job."""
        self.events.note(progress.line())
        if progress.stage == "denoise":
            self._block, self._num_blocks = progress.block, progress.num_blocks
            self._step, self._num_steps = progress.step, progress.num_steps
            if progress.step == progress.num_steps:
                self._clock.mark("first_latent")
        elif progress.stage == "decode":
            self._clock.mark("first_frame")
        self._sample_memory()
        self._notify()

    def next_prompt(self, frame: int) -> str | None:
        """A `NextPrompt` for the walk; what it answers is on record, with the frame, in `request` from now on."""
        with self._changed:
            prompt, self._next_prompt = self._next_prompt, None
            if prompt is None:
                return None
            self.request = self.request.with_change(PromptChange(frame, prompt))
        self.events.note(f"prompt changed from frame {frame} on")
        self._save()
        self._notify()
        return prompt

    def finish(self) -> None:
        """Write the seekable file from the log; nothing to do where no frame was made.

        Raises:
            EncoderError, OSError: if it cannot be written; the log stays as it is.
        """
        os.truncate(self.log_path, self._bytes)  # a write that failed half-way may have left a torn end
        if self._frames:
            finish(self.log_path, self.video_path, self.request.to_json())
        self._past_path.unlink(missing_ok=True)

    def check_complete(self) -> None:
        """Raise `WanError` unless exactly the frames that were asked for are in the log."""
        if not self.complete:
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

    @property
    def complete(self) -> bool:
        """Whether every frame that was asked for is in the log."""
        return self._frames == self.request.num_frames

    @property
    def past(self) -> Past | None:
        """What this job begins with; None where it begins with nothing."""
        return Past(self._past_path, self.kept_frames) if self.continues else None

    @property
    def can_continue(self) -> bool:
        """Whether another job can go on from this one."""
        return self._state.ended and self._frames > 0 and self.latents_path.is_dir()

    def cancel_requested(self) -> bool:
        """A `Stop` for the walk."""
        return self._cancel.is_set()

    def request_cancel(self) -> None:
        """Ask the model thread to stop at its next chance; without effect once the log is complete."""
        self._cancel.set()

    def change_prompt(self, prompt: str) -> None:
        """Have another prompt take effect with the next block, in place of one that still waits for it.

        Raises:
            TooLate: the job does not run, or its last block is being made.
            RequestError: the prompt is none, or was changed too often.
        """
        with self._changed:
            if self._state is not State.RUNNING or 0 < self._num_blocks <= self._block + 1:
                raise TooLate(f"job {self.id} has no block left to begin")
            self.request.with_change(PromptChange(self.request.num_frames - 1, prompt))  # refused here, not in the walk
            self._next_prompt = prompt
        self._notify()

    def wait_until_ended(self, timeout_s: float | None = None) -> bool:
        """Block the calling thread until the job has ended; False if `timeout_s` passed first. Not for event loops."""
        with self._changed:
            return self._changed.wait_for(lambda: self._state.ended, timeout_s)

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
            request, marks = self.request, dict(self._clock.marks_ms)
            generation_fps = self._clock.generation_fps(self._frames - self.kept_frames)
            left = 0 if self._state.log_complete else request.num_frames - self._frames
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
                "eta_ms": self._clock.eta_ms(left, generation_fps),
                "marks_ms": marks,
                "memory_bytes": self._memory_bytes,
                "error": None if self._failure is None else dataclasses.asdict(self._failure),
                "clips": list(self._clips),
                "continues": self.continues,
                "kept_frames": self.kept_frames,
                "can_continue": self.can_continue,
                "created_at_s": self.created_at_s,
                "request": dataclasses.asdict(request),
                "next_prompt": self._next_prompt,
            }

    # -- within -----------------------------------------------------------------------------------------------------

    def _sample_memory(self) -> None:
        self._memory_bytes = max(self._memory_bytes, self._memory_used())
