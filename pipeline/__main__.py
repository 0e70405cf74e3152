"""The command line: `python -m pipeline "一只红色的球从左向右移动" -o out.mp4`.

Owns flags, the progress line and the exit code: 0 made, 1 could not be made, 2 a wrong request, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from engines import BACKENDS
from engines.arenas import save_memory
from pipeline.encode import Fragment, InitSegment, finish
from pipeline.errors import RequestError, WanError
from pipeline.progress import Progress
from pipeline.request import FPS, SECONDS, SIZES, VideoRequest


def main(args: list[str] | None = None) -> int:
    """Make the clips of one request; returns the exit code."""
    options = _parse(args)
    save_memory()
    width, height = options.size
    try:
        request = VideoRequest(
            prompt=options.prompt,
            negative_prompt=options.negative_prompt,
            style=options.style,
            width=width,
            height=height,
            seconds=options.seconds,
            fps=options.fps,
            guidance_scale=options.guidance_scale,
            denoise_strength=options.denoise_strength,
            seed=options.seed,
            num_inference_steps=options.steps,
            batch_size=options.batch_size,
        )
        from pipeline import load_model  # torch comes with it: a wrong request is told before that

        model = load_model(options.model, backend=options.backend)
        clips = request.clips()
        for number, clip in enumerate(clips):
            out = options.output
            if len(clips) > 1:
                out = out.with_stem(f"{out.stem}-{number + 1}")
            result = _make(clip, model, out, quiet=options.json)
            print(json.dumps(result, ensure_ascii=False) if options.json else _told(result))
    except RequestError as error:
        print(f"{error.message_zh}\n{error.message_en}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _make(request: VideoRequest, model: Any, out: Path, *, quiet: bool) -> dict[str, Any]:
    from pipeline import stream

    begin = time.perf_counter()
    first_frame_ms, num_frames, encoder = 0.0, 0, ""

    def observe(progress: Progress) -> None:
        if not quiet and sys.stderr.isatty():
            done = round(30 * progress.frames / request.num_frames)
            bar = "█" * done + "·" * (30 - done)
            print(f"\r{bar} {progress.frames}/{request.num_frames}", end="", file=sys.stderr, flush=True)

    with tempfile.NamedTemporaryFile(dir=out.parent, suffix=".part") as log:
        for piece in stream(request, model, observe=observe):
            if isinstance(piece, InitSegment | Fragment):
                log.write(piece.data)
            if isinstance(piece, InitSegment):
                encoder = piece.encoder
            if isinstance(piece, Fragment):
                num_frames += 1
                first_frame_ms = first_frame_ms or 1000 * (time.perf_counter() - begin)
        log.flush()
        finish(Path(log.name), out, request.to_json())
    if not quiet and sys.stderr.isatty():
        print(file=sys.stderr)
    seconds = time.perf_counter() - begin
    return {
        "file": str(out),
        "num_frames": num_frames,
        "first_frame_ms": round(first_frame_ms, 1),
        "fps": round(num_frames / seconds, 2),
        "encoder": encoder,
        "backend": model.backend,
        "request": json.loads(request.to_json()),
    }


def _told(result: dict[str, Any]) -> str:
    return (
        f"{result['file']}: {result['num_frames']} frames, first after {result['first_frame_ms']:.0f} ms, "
        f"{result['fps']} fps, seed {result['request']['seed']} ({result['backend']}, {result['encoder']})"
    )


def _parse(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="Text to video with WAN 2.2, streamed.")
    parser.add_argument("prompt", help="Chinese or English; weights as (word:1.3)")
    parser.add_argument("-o", "--output", type=Path, default=Path("out.mp4"))
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument("--style", default="", help="name of a style, such as 'Oil Painting'")
    sizes = ", ".join(f"{w}x{h}" for w, h in SIZES)
    parser.add_argument("--size", type=parse_size, default=SIZES[0], metavar="WxH", help=f"one of {sizes}")
    parser.add_argument("--seconds", type=int, default=4, help=f"one of {', '.join(map(str, SECONDS))}")
    parser.add_argument("--fps", type=int, default=24, help=f"one of {', '.join(map(str, FPS))}")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the model's own)")
    parser.add_argument("--guidance-scale", type=float, help="default: the model's own")
    parser.add_argument("--denoise-strength", type=float, default=0.75)
    parser.add_argument("--seed", type=int, default=-1, help="-1: random, shown afterwards")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--model", help="hub id or folder in diffusers layout (default: the embedded model)")
    parser.add_argument("--backend", default="auto", help=f"one of {', '.join(BACKENDS)}")
    parser.add_argument("--json", action="store_true", help="one JSON object a clip instead of text")
    return parser.parse_args(args)


def parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().replace("×", "x").partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError("expected WIDTHxHEIGHT, such as 768x432")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
