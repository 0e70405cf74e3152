"""Start the app: `python app.py`. The same file is the entry of a Hugging Face Space.

Owns the flags. Knows neither the layout nor the model: `web.service` brings the page up at once, and `web.runtime`
loads the model in the background.
"""

from __future__ import annotations

import argparse
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import styles
from engines import BACKENDS, cache
from engines.arenas import save_memory
from pipeline.request import SIZES, VideoRequest

if TYPE_CHECKING:
    from pipeline.model import Model
    from pipeline.progress import Stop


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
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="what the model runs on (default: auto)")
    parser.add_argument(
        "--engines-for",
        nargs="+",
        type=_size,
        metavar="WxH",
        help="TensorRT engines of exactly these sizes: faster by about a fifth for a large model; the page then offers"
        " no others",
    )
    parser.add_argument("--rebuild-engines", action="store_true", help="delete the cached engines and build them anew")
    parser.add_argument("--jobs-dir", type=Path, default=Path("jobs"), help="where clips are kept (default: jobs)")
    parser.add_argument("--styles", type=Path, action="append", default=[], help="more styles; repeatable")
    return parser.parse_args(args)


def _login(value: str) -> tuple[str, str]:
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise argparse.ArgumentTypeError("expected USER:PASSWORD")
    return user, password


def _size(value: str) -> tuple[int, int]:
    offered = {f"{width}x{height}": (width, height) for width, height in SIZES}
    if value not in offered:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(offered)}")
    return offered[value]


def load(source: str | None, backend: str, frame_sizes: tuple[tuple[int, int], ...] | None, stop: Stop) -> Model:
    """Load the model; called in the background, because this imports torch."""
    from pipeline import load_model

    return load_model(source, backend=backend, stop=stop, frame_sizes=frame_sizes)


def main() -> None:
    """Start everything and stay until interrupted."""
    args = parse_args()
    save_memory()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported, so before the next lines
    from web import service
    from web.runtime import Runtime
    from web.shelf import StyleShelf

    try:
        shelf = StyleShelf(styles.load_styles(*args.styles))
    except styles.StyleError as error:
        raise SystemExit(f"{error.message_zh}\n{error.message_en}") from None
    if args.rebuild_engines:
        cache.clear()
    frame_sizes = tuple(args.engines_for) if args.engines_for else None
    width, height = (frame_sizes or SIZES)[0]
    warm_up = VideoRequest(prompt="warm up", width=width, height=height, seed=0)
    load_here = partial(load, args.model, args.backend, frame_sizes)
    runtime = Runtime(load_here, warm_up, shelf, learnt=args.jobs_dir / "measured.json")
    service.start(
        runtime,
        jobs_dir=args.jobs_dir,
        shelf=shelf,
        host=args.host,
        port=args.port,
        share=args.share,
        auth=args.auth,
        sizes=frame_sizes or SIZES,
    ).wait()


if __name__ == "__main__":
    main()
