"""Everything that answers a browser, put together: jobs, page, routes, in the order in which they must start.

Owns that order and the arguments of `launch`. Does not know the model: what makes the clips is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gradio as gr

import styles
from pipeline.encode import Fragment, InitSegment, Poster
from pipeline.progress import Observe, Stop
from pipeline.request import VideoRequest
from web import api, routes, texts, ui
from web.checks import style_check
from web.jobs import JobManager
from web.memory import MemoryMonitor
from web.theme import theme


class Backend(Protocol):
    """What makes the clips; see `web.runtime.Runtime`, which is it."""

    @property
    def has_gpu(self) -> bool: ...

    def start(self, then: Callable[[], None]) -> None: ...

    def produce(
        self, request: VideoRequest, stop: Stop, observe: Observe
    ) -> Iterator[Poster | InitSegment | Fragment]: ...

    def status(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        page: the Blocks, launched.
        manager: its jobs.
    """

    page: gr.Blocks
    manager: JobManager

    def wait(self) -> None:
        """Stay until interrupted, then end the jobs in good order."""
        try:
            self.page.block_thread()
        finally:
            self.manager.close()


def start(
    backend: Backend,
    *,
    jobs_dir: Path,
    known_styles: Mapping[str, styles.Style],
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    auth: list[tuple[str, str]] | None = None,
) -> Service:
    """Bring the page up at once and the model behind it; prints the address.

    Args:
        backend: makes the clips, from when its start is over.
        jobs_dir: folder of all jobs; made if missing.
        known_styles: by name, what the page offers.
        host, port: None for Gradio's own choice, which a Space sets.
        share: whether to open a public link as well.
        auth: users with their passwords; None for no login.

    Raises:
        OSError: the port is taken, or the folder of the jobs cannot be made.
    """
    examples = styles.load_examples()
    memory = MemoryMonitor()
    manager = JobManager(
        jobs_dir, backend.produce, memory_used=lambda: memory.read().used_bytes, check=style_check(known_styles)
    )
    page = ui.build(known_styles, examples, backend.has_gpu, partial(api.add, manager))
    app, _, _ = page.launch(
        server_name=host,
        server_port=port,
        share=share,
        auth=auth,
        prevent_thread_lock=True,
        show_error=True,
        ssr_mode=False,  # the page is one screen; a Node front would stand between it and the stream
        footer_links=["api"],
        allowed_paths=[str(jobs_dir.resolve())],  # where the endpoint `/generate` takes its file from
        theme=theme(),
        css_paths=[ui.STYLESHEET],
        head=ui.head(examples),
        i18n=texts.i18n(),
    )
    routes.attach(app, manager, backend, memory)
    backend.start(then=manager.start)
    return Service(page, manager)
