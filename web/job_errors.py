"""What the job manager refuses, besides a bad request. Knows no status code."""

from __future__ import annotations

from pipeline.errors import WanError


class UnknownJob(WanError):
    """No job of that id."""


class JobConflict(WanError):
    """The id belongs to a job with another request."""


class NotEnded(WanError):
    """A job that waits or runs cannot be deleted."""


class QueueFull(WanError):
    """No room in the queue.

    Attributes:
        message_en, message_zh: the same sentence in both languages of the UI.
    """

    def __init__(self, max_queued: int) -> None:
        self.message_en = f"The queue is full ({max_queued} clips are waiting). Try again in a few minutes."
        self.message_zh = f"队列已满（已有 {max_queued} 个片段在等待），请几分钟后再试。"
        super().__init__(self.message_en)


class TooLate(WanError):
    """The prompt of a job can no longer, or not yet, be changed."""
