"""The same jobs through Gradio's own API, for `gradio_client` and whatever speaks to it.

Owns the names and the arguments of the endpoints. A job made here is a job like any other: the routes read it too, and
it goes on when the client leaves.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipeline.errors import RequestError
from pipeline.request import VideoRequest
from web.job import Job
from web.job_errors import QueueFull, TooLate, UnknownJob
from web.jobs import JobManager

_POLL_S = 0.5


def add(manager: JobManager) -> None:
    """Add `/submit`, `/state`, `/cancel`, `/continue_job`, `/change_prompt` and `/generate` to the Blocks context.

    Each raises `gr.Error`, with the sentence in both languages, where the request or the id is refused.
    """

    def submit(request: dict[str, Any]) -> dict[str, Any]:
        """Queue a request (the fields of `VideoRequest`); answers with the state of its job."""
        return manager.state(_submit(manager, request).id)

    def state(job_id: str) -> dict[str, Any]:
        """State of a job."""
        try:
            return manager.state(job_id)
        except UnknownJob as error:
            raise gr.Error("There is no such job. 没有这个任务。") from error

    def cancel(job_id: str) -> dict[str, Any]:
        """Cancel a job; what was made of it stays."""
        try:
            return manager.state(manager.cancel(job_id).id)
        except UnknownJob as error:
            raise gr.Error("There is no such job. 没有这个任务。") from error

    def continue_job(job_id: str, seconds: int = 4) -> dict[str, Any]:
        """A new job: the ended one's frames and as many seconds more, or the rest of it where it was cut short."""
        try:
            return manager.state(manager.continue_job(secrets.token_hex(16), job_id, seconds).id)
        except UnknownJob as error:
            raise gr.Error("There is no such job. 没有这个任务。") from error
        except (RequestError, QueueFull) as error:
            raise gr.Error(f"{error.message_en} {error.message_zh}") from error

    def change_prompt(job_id: str, prompt: str) -> dict[str, Any]:
        """Another prompt from the next segment of a running job on; the state's request says from which frame."""
        try:
            return manager.state(manager.change_prompt(job_id, prompt).id)
        except UnknownJob as error:
            raise gr.Error("There is no such job. 没有这个任务。") from error
        except RequestError as error:
            raise gr.Error(f"{error.message_en} {error.message_zh}") from error
        except TooLate as error:
            raise gr.Error("No later segment is left to be made. 没有尚未开始的片段了。") from error

    def generate(request: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str | None]]:
        """Make one clip: the state twice a second, and at the end the state with the MP4."""
        job = _submit(manager, request)
        while not job.wait_until_ended(_POLL_S):
            yield manager.state(job.id), None
        last = manager.state(job.id)
        if last["error"]:
            raise gr.Error(f"{last['error']['message_en']} {last['error']['message_zh']}")
        yield last, str(job.video_path) if job.video_path.exists() else None

    gr.api(submit, api_name="submit")
    gr.api(state, api_name="state", queue=False)
    gr.api(cancel, api_name="cancel", queue=False)
    gr.api(continue_job, api_name="continue_job")
    gr.api(change_prompt, api_name="change_prompt", queue=False)
    # A file can only be handed over by a component that holds one, so this endpoint has hidden ones.
    asked, told, made = gr.JSON(visible=False), gr.JSON(visible=False), gr.File(visible=False)
    gr.Button(visible=False).click(generate, asked, [told, made], api_name="generate", concurrency_limit=None)


def _submit(manager: JobManager, fields: dict[str, Any]) -> Job:
    try:
        job, _ = manager.submit(secrets.token_hex(16), VideoRequest.from_mapping(fields))
    except (RequestError, QueueFull) as error:
        raise gr.Error(f"{error.message_en} {error.message_zh}") from error
    return job
