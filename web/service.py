"""Everything that answers a browser, put together: jobs, page, routes, in the order in which they must start.

Owns that order and the arguments of `launch`. Does not know the model: what makes the clips is handed in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gradio as gr

import styles
from pipeline.encode import Fragment, InitSegment, Poster
from pipeline.past import Past
from pipeline.progress import NextPrompt, Observe, Stop
from pipeline.request import SIZES, VideoRequest
from pipeline.tokens import Fit
from web import api, machine, routes, studio, texts, ui
from web.checks import size_check, style_check
from web.jobs import JobManager
from web.memory import MemoryHistory, MemoryMonitor
from web.shelf import StyleShelf
from web.theme import theme


class Backend(machine.Runtime, Protocol):
    """What makes the clips; see `web.runtime.Runtime`, which is it."""

    @property
    def has_gpu(self) -> bool: ...

    def start(self, then: Callable[[], None]) -> None: ...

    def produce(
        self,
        request: VideoRequest,
        stop: Stop,
        observe: Observe,
        next_prompt: NextPrompt,
        latents_dir: Path,
        past: Past | None,
    ) -> Iterator[Poster | InitSegment | Fragment]: ...

    def fit(self, text: str) -> Fit | None: ...

    def status(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        page: the Blocks, launched.
        manager: its jobs.
        history: of its memory.
    """

    page: gr.Blocks
    manager: JobManager
    history: MemoryHistory

    def wait(self) -> None:
        """Stay until interrupted, then end the jobs in good order."""
        try:
            self.page.block_thread()
        finally:
            self.history.close()
            self.manager.close()


def start(
    backend: Backend,
    *,
    jobs_dir: Path,
    shelf: StyleShelf,
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    auth: list[tuple[str, str]] | None = None,
    sizes: tuple[tuple[int, int], ...] = SIZES,
) -> Service:
    """Bring the page up at once and the model behind it; prints the address.

    Args:
        backend: makes the clips, from when its start is over.
        jobs_dir: folder of all jobs; made if missing.
        shelf: the styles; the page offers the ones that are everyone's.
        host, port: None for Gradio's own choice, which a Space sets.
        share: whether to open a public link as well.
        auth: users with their passwords; None for no login.
        sizes: width and height of the clips on offer.

    Raises:
        OSError: the port is taken, or the folder of the jobs cannot be made.
    """
    examples = styles.load_examples()
    memory = MemoryMonitor()
    history = MemoryHistory(memory, backend.allocator)
    is_public = auth is None and (share or "SPACE_ID" in os.environ)
    is_styled, is_offered = style_check(shelf), size_check(sizes)

    def check(request: VideoRequest) -> None:
        is_styled(request)
        is_offered(request)

    manager = JobManager(jobs_dir, backend.produce, memory_used=lambda: memory.read().used_bytes, check=check)
    page = ui.build(shelf.offered, examples, backend.has_gpu, partial(api.add, manager), sizes)
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
        css_paths=list(ui.STYLESHEETS),
        head=ui.head(shelf.offered, examples),
        i18n=texts.i18n(),
    )
    routes.attach(app, manager, backend, memory)
    machine.attach(app, backend, manager, history, jobs_dir=jobs_dir, may_rebuild=not is_public)
    coach = studio.attach(app, shelf, backend.fit)

    def then() -> None:
        manager.start()
        coach.warm_up()  # behind the first clip that waits: both want the interpreter

    backend.start(then)
    history.start()
    return Service(page, manager, history)
