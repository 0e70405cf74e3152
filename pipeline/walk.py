"""The walk: one prompt to a stream of frames, in the order in which it runs. Everything calls this; nothing else walks.

Owns the order and the stop flag. Knows no tensor layout, no box of MP4, no job.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import styles
from pipeline.blocks import plan as plan_blocks
from pipeline.decode import Decoder
from pipeline.denoise import Denoiser, Schedule, branches_of
from pipeline.encode import Fragment, InitSegment, Poster, encode
from pipeline.errors import Cancelled, RequestError
from pipeline.model import Model
from pipeline.overlap import overlapped
from pipeline.progress import Observe, Progress, Stop, ignore, never
from pipeline.request import VideoRequest
from pipeline.strategies import strategy_of


@dataclass(frozen=True, slots=True)
class Frames:
    """Consecutive frames: `pixels` is uint8 [n, H, W, 3] RGB, `index` the first one's index in the clip."""

    index: int
    pixels: NDArray[np.uint8]


def generate(
    request: VideoRequest,
    model: Model,
    *,
    known_styles: Mapping[str, styles.Style] | None = None,
    stop: Stop = never,
    observe: Observe = ignore,
) -> Generator[Frames]:
    """Make the frames of one clip, each the moment it exists.

    Args:
        request: a single clip (see `VideoRequest.clips` for a batch); seed -1 takes a random one.
        known_styles: by name (see `styles.load_styles`); the shipped ones where not given.
        stop: asked before every denoising step and every latent; True ends the clip.
        observe: told after each piece of work.

    Raises:
        Cancelled: `stop` said so.
        RequestError: an unknown style, malformed weights, a batch, or steps that a distilled student does not have.
    """
    if request.batch_size != 1:
        raise RequestError("batch_size", request.batch_size, "1 here; see VideoRequest.clips()", "此处须为 1")
    request, spec, engines = request.with_seed(), model.spec, model.engines

    schedule, plan = Schedule.of(request, spec), plan_blocks(request, spec.grid)
    num_blocks = len(plan.blocks)

    styled = _styled(request, styles.load_styles() if known_styles is None else known_styles)
    prompt_embeds = [model.encode_prompt(runs) for runs in (styled.positive, styled.negative)]
    observe(Progress("text", 0, num_blocks, 0, 0, 0))

    branches = branches_of(engines, schedule, prompt_embeds)
    decoder = Decoder(engines.vae_decoder, plan, engines.vae_encoder)
    denoiser = Denoiser(
        strategy_of(spec, plan, branches, decoder),
        branches,
        plan=plan,
        schedule=schedule,
        channels=spec.channels,
        device=engines.device,
        seed=request.seed,
    )

    for number, block in enumerate(plan.blocks):
        latents, sigmas = denoiser.start(block), schedule.sigmas(block)
        for step, (sigma, next_sigma) in enumerate(itertools.pairwise(sigmas), start=1):
            _raise_if(stop)
            latents = denoiser.step(block, latents, sigma, next_sigma)
            observe(Progress("denoise", number, num_blocks, step, len(sigmas) - 1, decoder.num_frames))
        for latent in latents.split(1, dim=2):
            _raise_if(stop)
            index, pixels = decoder.num_frames, decoder.decode(latent)
            observe(Progress("decode", number, num_blocks, 0, 0, decoder.num_frames))
            yield Frames(index, pixels)


def stream(
    request: VideoRequest,
    model: Model,
    *,
    known_styles: Mapping[str, styles.Style] | None = None,
    stop: Stop = never,
    observe: Observe = ignore,
) -> Iterator[Poster | InitSegment | Fragment]:
    """Make the H.264 fragments of one clip, each the moment its frame is encoded; encoding overlaps the next block.

    Arguments and errors as `generate`, and EncoderError where no H.264 encoder opens. The request, with its definite
    seed, is written into the stream's metadata.
    """
    request = request.with_seed()
    made = generate(request, model, known_styles=known_styles, stop=stop, observe=observe)
    frames = (some.pixels for some in made)
    with overlapped(frames, depth=8) as ready:
        yield from encode(
            ready,
            width=request.width,
            height=request.height,
            fps=request.fps,
            settings=request.to_json(),
            observe=observe,
        )


def _styled(request: VideoRequest, known: Mapping[str, styles.Style]) -> styles.StyledPrompt:
    if request.style and request.style not in known:
        listed = ", ".join(known)
        raise RequestError("style", request.style, f"one of {listed}", f"{listed} 之一")
    try:
        return styles.apply(request.prompt, known.get(request.style), request.negative_prompt)
    except styles.StyleError as error:
        raise RequestError(error.field, getattr(request, error.field), error.message_en, error.message_zh) from error


def _raise_if(stop: Stop) -> None:
    if stop():
        raise Cancelled("stopped")
