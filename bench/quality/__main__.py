"""`python -m bench.quality`: how well clips show what their prompts say, from pixels alone, by frozen judges.

The fixed held-out prompts are made with default settings and steps: on a CPU one after the other along the walk of a
person's job, on a GPU in batches that give the same pixels. Beside each score stand its ceiling (the prompt's own scene
through the autoencoder, read by the same judge) and its floor (other prompts' words). All readings are kept in --cache,
so that a run that was cut off goes on.

    python -m bench.quality --save quality                       # everything; minutes on a GPU
    python -m bench.quality --limit 40 --only scores,ceilings    # a look on a CPU
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn

from bench.judges.network import WEIGHTS, fingerprint, load_judge
from bench.quality import effects
from bench.quality.make import Batched, Maker, Walk
from bench.quality.measure import FIRST, Measured, frechet
from bench.quality.prompts import Prompt, load_prompts
from bench.quality.run import STRIP_FRAMES, Ceilings, Runner, weights_digest
from bench.quality.score import late_scores, mean_of, obedience, rows, scores, seam_ratio
from bench.quality.sheets import one_of, write_grid, write_sheets
from bench.quality.truth import TruthRenderer
from bench.report import RESULTS, add_save, emit
from pipeline.__main__ import parse_size
from pipeline.model import folder_of, load_model
from pipeline.request import VideoRequest
from training.attributes import STYLES
from training.scene import EXAMPLES

PARTS = (
    "scores",
    "ceilings",
    "psnr",
    "denoise_strength",
    "guidance_scale",
    "steps",
    "seed",
    "weights",
    "styles",
    "gallery",
)
PSNR_SIZES = ((768, 432), (1280, 720))
SHEET_CLIPS, SHEET_SEED = 50, 5
MIN_FRECHET = 8  # clips: fewer have no covariance worth the name


def main(arguments: list[str] | None = None) -> None:
    """Print one JSON object."""
    options = _parse(arguments)
    device = torch.device(options.device)
    maker, vae = _maker(options, device)
    judge = load_judge(device, options.judge)
    folder = folder_of(options.model)
    begin = time.perf_counter()

    def note(text: str) -> None:
        print(f"{time.perf_counter() - begin:8.1f} s  {text}", file=sys.stderr, flush=True)

    judged = fingerprint(options.judge)
    of_model = weights_digest([*folder.rglob("*.safetensors"), *folder.rglob("*.json")])
    spec, way = maker.model.spec, options.readings or f"{maker.model.backend}{' · FP8' if options.fp8_error else ''}"
    identity, elsewhere = f"{of_model} {judged} {way}", bool(options.readings)
    runner = Runner(maker, spec.grid, judge, options.cache, identity, note, is_complete=elsewhere)
    of_vae = f"{weights_digest((folder / 'vae').glob('*.safetensors'))} {judged} {device.type}"
    renderer = TruthRenderer(vae, device)
    ceilings = Ceilings(renderer, judge, options.cache, of_vae, note)
    prompts = load_prompts(options.prompts)[: options.limit] * options.seeds
    width, height = options.size

    def request(text: str, seconds: int = 2, seed: int = 0) -> VideoRequest:
        return VideoRequest(prompt=text, width=width, height=height, seconds=seconds, seed=seed)

    asked = {
        index: request(prompt.text, 8 if index < options.long else 2, 1000 + index)
        for index, prompt in enumerate(prompts)
    }
    made: dict[int, Measured] = {}
    best: dict[int, Measured] = {}
    if "scores" in options.only:
        made = dict(zip(asked, runner.measured(list(asked.values())), strict=True))
    if "ceilings" in options.only:
        for index, prompt in list(enumerate(prompts))[: options.ceilings]:
            best[index] = ceilings.measured(prompt, options.size, asked[index].num_frames)
    several = {"num_prompts": len(prompts) // options.seeds, "num_seeds": options.seeds}
    figures: dict[str, Any] = several | _scored(prompts, made, best)
    if "psnr" in options.only:
        figures["vae_psnr_db"] = renderer.psnr_by_style(PSNR_SIZES, options.psnr_clips, 17)
    figures |= _effects(options, runner, prompts, request)
    if made and not elsewhere:
        _sheets(options.sheets, runner, prompts, asked)
    if "gallery" in options.only:
        _gallery(options.sheets, runner, request)
    figures |= {
        "judge": judged,
        "model": spec.name,
        "checkpoint": of_model,
        "backend": way,
        "batch": options.batch,
        "size": f"{width}x{height}",
        "steps_default": spec.num_inference_steps,
        "guidance_default": spec.guidance_scale,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    emit(figures, rows(prompts, made), options.save)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--model", help="folder or hub id; default: the embedded model")
    parser.add_argument("--judge", type=Path, default=WEIGHTS)
    parser.add_argument("--prompts", type=int, default=500, help="of the fixed set")
    parser.add_argument("--limit", type=int, help="only the first ones of them")
    parser.add_argument("--seeds", type=int, default=1, help="clips of each of them: what is compared varies less")
    parser.add_argument("--size", type=_wide, default=(768, 432), metavar="WxH", help="16:9")
    parser.add_argument("--long", type=int, default=96, help="prompts whose clips are 8 s long")
    parser.add_argument("--ceilings", type=int, default=500 if cuda else 60, help="prompts whose scenes are measured")
    parser.add_argument("--effects", type=int, default=24 if cuda else 4, help="prompts or cases for each setting")
    parser.add_argument("--psnr-clips", type=int, default=4 if cuda else 1, help="for each style and size")
    parser.add_argument("--only", type=_parts, default=PARTS, help=f"some of {','.join(PARTS)}")
    parser.add_argument("--batch", type=int, default=32 if cuda else 0, help="clips made at once; 0: the walk itself")
    parser.add_argument("--fp8-error", type=float, help="of batches: as engines.tuning takes it; default: no FP8")
    parser.add_argument("--backend", default="auto", help="of the walk")
    parser.add_argument("--device", default="cuda" if cuda else "cpu", help="of judges, ceilings and batches")
    parser.add_argument("--cache", type=Path, default=Path(".train/quality"))
    parser.add_argument(
        "--readings", metavar="BACKEND", help="make nothing: --cache holds all readings, of this backend elsewhere"
    )
    parser.add_argument("--sheets", type=Path, default=RESULTS / "quality_sheets")
    add_save(parser)
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds: {options.seeds}; at least 1")
    return options


def _maker(options: argparse.Namespace, device: torch.device) -> tuple[Maker, AutoencoderKLWan]:
    if options.batch:
        batched = Batched(options.model, device, options.batch, options.fp8_error)
        return batched, batched.vae
    vae = AutoencoderKLWan.from_pretrained(
        folder_of(options.model) / "vae", torch_dtype=torch.float32, use_safetensors=True
    )
    vae.requires_grad_(False)
    nn.Module.to(vae, device)  # diffusers' own `to` warns of precision
    return Walk(load_model(options.model, backend=options.backend)), vae


def _scored(prompts: list[Prompt], made: Mapping[int, Measured], best: Mapping[int, Measured]) -> dict[str, Any]:
    if not made and not best:
        return {}
    found: dict[str, Any] = {"scores": scores(prompts, made, best), **late_scores(prompts, made, best)}
    for name, free in (("grammar", False), ("free_wording", True)):
        chosen = {i for i, prompt in enumerate(prompts) if prompt.free is free}
        some, top = ({i: clip for i, clip in clips.items() if i in chosen} for clips in (made, best))
        found[name] = scores(prompts, some, top)
    found["obedience"] = obedience(prompts, made) if made else None
    found["seam_ratio"] = seam_ratio(made)
    for name in ("flicker", "sharpness"):
        found[name] = {"value": mean_of(made, name), "ceiling": mean_of(best, name)}
    shared = sorted(made.keys() & best.keys())
    if len(shared) >= MIN_FRECHET:
        own, true = (torch.tensor([clips[i].features[FIRST] for i in shared]) for clips in (made, best))
        halves = frechet(true[::2], true[1::2])
        found["frechet"] = {"value": round(frechet(own, true), 4), "ceiling": round(halves, 4)}
    return found


def _effects(
    options: argparse.Namespace, runner: Runner, prompts: list[Prompt], request: Callable[..., VideoRequest]
) -> dict[str, Any]:
    some, found = prompts[: options.effects], dict[str, Any]()
    if "denoise_strength" in options.only:
        found["denoise_strength"] = effects.denoise_strength(runner, some, lambda text: request(text, 4))
    if "guidance_scale" in options.only:
        found["guidance_scale"] = effects.guidance_scale(runner, some, request)
    if "steps" in options.only and runner.maker.model.spec.timesteps is None:
        found["steps"] = effects.steps(runner, some, request)
    if "seed" in options.only:
        found["seed"] = effects.seed(runner, some[:4], request)
    if "weights" in options.only:
        count = len(effects.WEIGHT_CASES) if options.effects >= 24 else options.effects
        found["prompt_weights"] = effects.weights(runner, effects.WEIGHT_CASES[:count], request)
    if "styles" in options.only:
        found |= effects.styles(runner, effects.STYLED_PROMPTS[: options.effects], request)
    return found


def _sheets(folder: Path, runner: Runner, prompts: list[Prompt], asked: Mapping[int, VideoRequest]) -> None:
    chosen = sorted(random.Random(SHEET_SEED).sample(sorted(asked), min(SHEET_CLIPS, len(asked))))
    write_sheets(folder, "prompts", [(prompts[index].text, runner.strip(asked[index])) for index in chosen])


def _gallery(folder: Path, runner: Runner, request: Callable[..., VideoRequest]) -> None:
    """Every example prompt in every style: the frame at two thirds of a clip."""
    texts = [text for text, _ in EXAMPLES]
    asked = {text: [dataclasses.replace(request(text), style=style) for style in STYLES] for text in texts}
    runner.measured([one for row in asked.values() for one in row])
    grid = [(text, [one_of(runner.strip(one), 2, STRIP_FRAMES) for one in row]) for text, row in asked.items()]
    write_grid(folder / "examples.jpg", STYLES, grid)


def _wide(text: str) -> tuple[int, int]:
    width, height = parse_size(text)
    if width * 9 != height * 16:
        raise argparse.ArgumentTypeError("judges read 16:9 pictures only")
    return width, height


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    for part in parts:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r}: one of {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    main()
