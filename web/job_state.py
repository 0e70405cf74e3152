"""The life of a job: its states, which may follow which, and what a failure says to a person.

Owns words only; knows no thread, no file and no route.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from pipeline.errors import EncoderError, RequestError, WanError


class State(StrEnum):
    """Where a job is. The log grows only while `RUNNING`; it is complete from `FINISHING` on."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHING = "finishing"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Whether nothing about the job changes any more."""
        return not TRANSITIONS[self]

    @property
    def log_complete(self) -> bool:
        """Whether no byte will be appended to the log any more."""
        return self not in (State.QUEUED, State.RUNNING)


TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.FAILED, State.INTERRUPTED}),
        # Straight to an end only when there is nothing to finish.
        State.RUNNING: frozenset({State.FINISHING, State.CANCELLED, State.FAILED, State.INTERRUPTED}),
        State.FINISHING: frozenset({State.DONE, State.CANCELLED, State.FAILED, State.INTERRUPTED}),
        State.DONE: frozenset(),
        State.CANCELLED: frozenset(),
        State.FAILED: frozenset(),
        State.INTERRUPTED: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, in both languages of the UI."""

    message_en: str
    message_zh: str


INTERRUPTED = Failure(
    "The server was stopped while this job was waiting or running. What was made until then plays, downloads and can"
    " be continued.",
    "服务器在此任务排队或运行时停止。此前已生成的部分仍可播放、下载，并可继续生成。",
)


def describe(error: BaseException) -> Failure:
    """Put a failure into words for the person who asked.

    Only this project's own messages are passed on: others may hold paths of the server, and go to its log instead.
    """
    kind = type(error).__name__
    if isinstance(error, RequestError):
        return Failure(error.message_en, error.message_zh)
    # torch's own class is known by its name: this folder's job runner does not import torch.
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        return Failure(
            "Out of memory: this clip did not fit. Choose a smaller size or a shorter duration, or close other"
            " programs, and try again.",
            "内存不足：这段视频放不下。请选择更小的分辨率或更短的时长，或关闭其他程序后重试。",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failure("The server's disk is full.", "服务器磁盘已满。")
    if isinstance(error, EncoderError):
        return Failure(f"Video encoding failed: {error}", f"视频编码失败：{error}")
    if isinstance(error, WanError):
        return Failure(f"Generation failed: {error}", f"生成失败：{error}")
    return Failure(
        f"Internal error ({kind}); the server's log has the details.", f"内部错误（{kind}）；详情见服务器日志。"
    )
