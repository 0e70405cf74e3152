"""Start the app: `python app.py`. The same file is the entry of a Hugging Face Space.

Owns the flags and the order of the start: the page first, then the model in the background. Knows no layout.
"""

from __future__ import annotations

import argparse
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import styles
from pipeline.request import VideoRequest
from web import api, presets, routes, texts, ui
from web.checks import style_check
from web.jobs import JobManager
from web.memory import MemoryMonitor
from web.runtime import Runtime
from web.theme import theme

if TYPE_CHECKING:
    from pipeline.model import Model


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """The flags; each has a default that serves a person at their own machine."""
    parser = argparse.ArgumentParser(description="Text to video with WAN 2.2, streamed while it is made.")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1; a Space sets its own)")
    parser.add_argument("--listen", action="store_const", const="0.0.0.0", dest="host", help="answer the local network")
    parser.add_argument("--port", type=int, help="port to listen on (default: the first free one from 7860)")
    parser.add_argument("--share", action="store_true", help="open a public link as well")
    parser.add_argument(
        "--auth", metavar="USER:PASSWORD", action="append", type=_login, help="ask for a login; repeatable"
    )
    parser.add_argument("--model", help="hub id or folder in diffusers layout (default: the embedded model)")
    parser.add_argument("--backend", default="auto", help="what the model runs on (default: auto)")
    parser.add_argument("--jobs-dir", type=Path, default=Path("jobs"), help="where clips are kept (default: jobs)")
    parser.add_argument("--style-file", type=Path, action="append", default=[], help="more styles; repeatable")
    return parser.parse_args(args)


def _login(value: str) -> tuple[str, str]:
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError("expected USER:PASSWORD")
    return user, password


def main() -> None:
    """Start everything and stay until interrupted."""
    args = parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

    def load() -> Model:
        from pipeline import load_model  # imports torch: in the background, behind the page

        return load_model(args.model, backend=args.backend)

    runtime = Runtime(load, VideoRequest(prompt="warm up", **presets.PRESETS[presets.LIGHT], seed=0))
    known = styles.load_styles(*args.style_file)
    examples = styles.load_examples()
    memory = MemoryMonitor()
    manager = JobManager(
        args.jobs_dir, runtime.produce, memory_used=lambda: memory.read().used_bytes, check=style_check(known)
    )
    page = ui.build(known, examples, runtime.has_gpu, partial(api.add, manager))
    app, _, _ = page.launch(
        server_name=args.host,
        server_port=args.port,
        share=args.share,
        auth=args.auth,
        prevent_thread_lock=True,
        show_error=True,
        ssr_mode=False,  # the page is one screen; a Node front would stand between it and the stream
        footer_links=["api"],
        theme=theme(),
        css_paths=[ui.STYLESHEET],
        head=ui.head(examples),
        i18n=texts.i18n(),
    )
    routes.attach(app, manager, runtime, memory)
    runtime.start(then=manager.start)
    try:
        page.block_thread()
    finally:
        manager.close()


if __name__ == "__main__":
    main()
