"""The walk: one prompt to a stream of frames, in the order in which it runs. Everything calls this; nothing else walks.

Owns the order and the stop flag. Knows no tensor layout, no box of MP4, no job.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import styles
from pipeline.blocks import plan as plan_blocks
from pipeline.decode import Decoder
from pipeline.denoise import Denoiser, Schedule, branches_of
from pipeline.encode import Fragment, InitSegment, Poster, encode
from pipeline.errors import Cancelled, RequestError
from pipeline.model import Model
from pipeline.past import Past
from pipeline.progress import NextPrompt, Observe, Progress, Stop, ignore, never, same_prompt
from pipeline.request import VideoRequest
from pipeline.strategies import strategy_of
from pipeline.trail import Trail


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
    next_prompt: NextPrompt = same_prompt,
    latents_dir: Path | None = None,
    past: Past | None = None,
) -> Generator[Frames]:
    """Make the frames of one clip, each the moment it exists.

    Args:
        request: a single clip (see `VideoRequest.clips` for a batch); seed -1 takes a random one.
        known_styles: by name (see `styles.load_styles`); the shipped ones where not given.
        stop: asked before every denoising step and every latent; True ends the clip.
        observe: told after each piece of work.
        next_prompt: asked before every block but the first; wins over what `request.prompt_changes` has for it.
        latents_dir: folder where the clean latents are kept that the clip could go on from later; None keeps none.
        past: an earlier clip, whose latents are in `latents_dir`; the frames that it has are not given again.

    Raises:
        Cancelled: `stop` said so.
        RequestError: an unknown style, malformed weights, a batch, steps that a distilled student does not have, or a
            past of another checkpoint or size.
    """
    if request.batch_size != 1:
        raise RequestError("batch_size", request.batch_size, "1 here; see VideoRequest.clips()", "此处须为 1")
    request, spec, engines = request.with_seed(), model.spec, model.engines

    known = styles.load_styles() if known_styles is None else known_styles
    schedule, plan = Schedule.of(_with_style(request, known), spec), plan_blocks(request, spec.grid)
    num_blocks = len(plan.blocks)

    planned = {
        change.frame: _styled(request, "prompt_changes", change.prompt, known) for change in request.prompt_changes
    }
    prompt_embeds = _encoded(_styled(request, "prompt", request.prompt, known), model)
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

    trail = Trail(latents_dir, spec) if latents_dir is not None else None
    first_frame = 0 if past is None else past.frames
    behind = trail.recall(plan, first_frame) if trail is not None and past is not None else {}

    for number, block in enumerate(plan.blocks):
        old = behind.get(block.start)
        if old is None and block.start < max(behind, default=0):
            continue  # long past: nothing of it is needed any more
        if number:
            due = [planned.pop(frame) for frame in list(planned) if frame <= decoder.num_frames]
            prompt = next_prompt(decoder.num_frames) if old is None else None
            if prompt is not None:
                due.append(_styled(request, "prompt", prompt, known))
            if due:
                denoiser.change_prompt(_encoded(due[-1], model))
        if old is None:
            latents, sigmas = denoiser.start(block), schedule.sigmas(block)
            for step, (sigma, next_sigma) in enumerate(itertools.pairwise(sigmas), start=1):
                _raise_if(stop)
                latents = denoiser.step(block, latents, sigma, next_sigma)
                observe(Progress("denoise", number, num_blocks, step, len(sigmas) - 1, decoder.num_frames))
            if trail is not None:
                trail.keep(block, latents, denoiser.noise_state, request.seed)
        else:
            _raise_if(stop)
            latents = denoiser.recall(old.block, old.latents, old.noise_state, old.seed)
            if not old.decoded:
                continue
            if block.start and not decoder.num_frames:
                # Without caches its first latent gives one frame, the last of its own.
                decoder.num_frames = block.start * spec.grid.scale_temporal
        for latent in latents.split(1, dim=2):
            _raise_if(stop)
            index, pixels = decoder.num_frames, decoder.decode(latent)
            if decoder.num_frames > first_frame:
                observe(Progress("decode", number, num_blocks, 0, 0, decoder.num_frames))
                yield Frames(max(index, first_frame), pixels[max(0, first_frame - index) :])


def stream(
    request: VideoRequest,
    model: Model,
    *,
    known_styles: Mapping[str, styles.Style] | None = None,
    stop: Stop = never,
    observe: Observe = ignore,
    next_prompt: NextPrompt = same_prompt,
    latents_dir: Path | None = None,
    past: Past | None = None,
) -> Iterator[Poster | InitSegment | Fragment]:
    """Make the H.264 fragments of one clip, each the moment its frame is encoded; encoding overlaps the next block.

    Arguments and errors as `generate`, and EncoderError where no H.264 encoder opens. The request, with its definite
    seed, is written into the stream's metadata. The fragments of a past come first, as they are; EncoderError where
    the encoder of today does not go on from them.
    """
    request = request.with_seed()
    made = generate(
        request,
        model,
        known_styles=known_styles,
        stop=stop,
        observe=observe,
        next_prompt=next_prompt,
        latents_dir=latents_dir,
        past=past,
    )
    frames = (some.pixels for some in made)
    try:
        with model.threads.overlapped(frames, depth=8) as ready:
            yield from encode(
                ready,
                width=request.width,
                height=request.height,
                fps=request.fps,
                settings=request.to_json(),
                observe=observe,
                past=past,
            )
    finally:
        model.engines.rest()


def _styled(request: VideoRequest, field: str, prompt: str, known: Mapping[str, styles.Style]) -> styles.StyledPrompt:
    """`prompt` with the request's style and negative prompt; `field` is where a mistake in it is told."""
    if request.style and request.style not in known:
        listed = ", ".join(known)
        raise RequestError("style", request.style, f"one of {listed}", f"{listed} 之一")
    try:
        return styles.apply(prompt, known.get(request.style), request.negative_prompt)
    except styles.StyleError as error:
        at, given = (field, prompt) if error.field == "prompt" else (error.field, getattr(request, error.field))
        raise RequestError(at, given, error.message_en, error.message_zh) from error


def _with_style(request: VideoRequest, known: Mapping[str, styles.Style]) -> VideoRequest:
    """The request with its style's guidance and steps, where the style has its own and the person asked for none."""
    fusion = known[request.style].fusion if request.style in known else styles.Fusion()
    return dataclasses.replace(
        request,
        guidance_scale=request.guidance_scale or fusion.guidance_scale,
        num_inference_steps=request.num_inference_steps or fusion.num_inference_steps,
    )


def _encoded(styled: styles.StyledPrompt, model: Model) -> list[Tensor]:
    """prompt_embeds of the prompt and of the negative one."""
    return [model.encode_prompt(runs) for runs in (styled.positive, styled.negative)]


def _raise_if(stop: Stop) -> None:
    if stop():
        raise Cancelled("stopped")
