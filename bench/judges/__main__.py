"""`python -m bench.judges draw|train|evaluate`: make the judges that `bench.quality` reads clips with.

On a GPU the world draws while the judge learns, and a share of the clips takes the way through the checkpoint's
autoencoder. On a CPU `draw` fills a folder first (or beside), and `train` reads it. `evaluate` measures the frozen
judge on combinations that were never trained on and writes judges.json beside it.

    python -m bench.judges train --minutes 3.5                                   # a GPU, all of it
    python -m bench.judges draw --cache DIR --clips 50000                        # a CPU
    python -m bench.judges train --minutes 30 --cache DIR [--part 0 0.5]
    python -m bench.judges evaluate
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan

from bench.judges import render
from bench.judges.labels import HEADS, HEIGHT, WIDTH
from bench.judges.network import WEIGHTS, WIDTHS, Judge, fingerprint, load_judge, save_judge
from bench.judges.train import Batch, Pool, Schedule, Source, Supply, accuracy, shards, train
from bench.report import hardware, versions
from pipeline.model import folder_of
from training.session import Clock, Log

TEST_SEED, THROUGH_SEED = 71, 72


def main() -> None:
    """Parse, run the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.judges", description=__doc__)
    commands = parser.add_subparsers(required=True)
    draw = commands.add_parser("draw", help="fill a folder with clips, on the CPU")
    draw.add_argument("--cache", type=Path, required=True)
    draw.add_argument("--clips", type=int, default=50_000)
    draw.add_argument("--threads", type=int, default=1)
    draw.set_defaults(run=_draw)
    learn = commands.add_parser("train", help="train, save and evaluate")
    learn.add_argument("--minutes", type=float, required=True)
    learn.add_argument("--part", type=float, nargs=2, default=(0.0, 1.0), help="of the schedule that this call runs")
    learn.add_argument("--cache", type=Path, help="shards of `draw`; without it the world draws meanwhile")
    learn.add_argument("--state", type=Path, default=Path(".train/judges/state.pt"))
    learn.add_argument("--batch", type=int, help="default: 512 on a GPU, 64 on a CPU")
    learn.add_argument("--pool", type=int, help="clips kept; default: 60000 on a GPU, 8192 on a CPU")
    learn.add_argument("--fresh", type=int, default=768, help="clips drawn at once, on a GPU")
    learn.add_argument("--first", type=int, help="clips before the first step; default: 8192 on a GPU, 2048 on a CPU")
    learn.add_argument("--steps-per-fresh", type=int, help="default: 32 on a GPU, 4 on a CPU")
    learn.add_argument(
        "--through", type=int, help="clips a renewal through the autoencoder; default: 8 on a GPU, else 0"
    )
    learn.add_argument("--threads", type=int, help="of the CPU")
    learn.add_argument("--max-steps", type=int, default=10**9)
    learn.add_argument("--seed", type=int, default=0)
    learn.set_defaults(run=_train)
    measure = commands.add_parser("evaluate", help="measure the judge that is there")
    measure.set_defaults(run=_evaluate)
    for command in (learn, measure):
        command.add_argument("--out", type=Path, default=WEIGHTS)
        command.add_argument("--model", help="checkpoint whose autoencoder is used; default: the embedded one")
        command.add_argument("--clips", type=int, default=2048, help="held-out clips to measure on")
        command.add_argument("--through-clips", type=int, help="of them through the autoencoder; default: 256, CPU: 24")
    options = parser.parse_args()
    options.run(options)


def _draw(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    render.fill(options.cache, options.clips, seed=0)


def _train(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    clock, device = Clock(options.minutes, tuple(options.part)), _device()
    fast = device.type == "cuda"
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    pool = Pool(options.pool or (60_000 if fast else 8192), device)
    through = options.through if options.through is not None else (8 if fast else 0)
    share = 0.15 if through else 0.0
    source = _cached(options.cache, rng) if options.cache else _drawn(options.fresh, rng, device)
    supplies = [Supply(source, pool, 1.0 - share, options.first or (8192 if fast else 2048))]
    if through:
        passed = _drawn_through(_vae(options.model, device), through, rng, device)
        supplies.append(Supply(passed, Pool(8192, device), share, 8 * through))
    schedule = Schedule(options.batch or (512 if fast else 64), options.steps_per_fresh or (32 if fast else 4))
    judge = Judge(WIDTHS).to(device)
    log = Log(options.state.with_suffix(".jsonl"))
    test = _test(min(options.clips, 2048 if fast else 512), device)
    best = train(judge, supplies, schedule, clock, options.state, log, test, options.max_steps)
    save_judge(best, options.out)
    _evaluate(options)


def _evaluate(options: argparse.Namespace) -> None:
    device = _device()
    fast = device.type == "cuda"
    judge = load_judge(device, options.out)
    clips, labels = _test(options.clips, device)
    found: dict[str, Any] = {
        "judge": fingerprint(options.out),
        "clips": len(clips),
        "accuracy": accuracy(judge, clips, labels),
        "accuracy_by_style": {
            name or "none": accuracy(judge, clips[chosen.to(device)], labels[chosen])
            for name, chosen in _by_style(labels)
        },
    }
    count = options.through_clips if options.through_clips is not None else (256 if fast else 24)
    if count:
        scenes, starts = render.sample(random.Random(THROUGH_SEED), count, held_out=True)
        vae = _vae(options.model, device)
        seen = render.draw_through(vae, scenes, starts, device, render.TRUE_SIZE)
        found |= {"through_clips": count, "accuracy_through_vae": accuracy(judge, *seen)}
    found |= {"size": f"{WIDTH}x{HEIGHT}", "hardware": hardware(), "versions": versions()}
    text = json.dumps(found, ensure_ascii=False, indent=1)
    options.out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(found, ensure_ascii=False), flush=True)


def _by_style(labels: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    column = list(HEADS).index("style")
    for number, name in enumerate(HEADS["style"]):
        chosen = labels[:, column] == number
        if chosen.any():
            yield name, chosen


def _test(clips: int, device: torch.device) -> Batch:
    rng, parts = random.Random(TEST_SEED), list[Batch]()
    for first in range(0, clips, 256):
        scenes, starts = render.sample(rng, min(256, clips - first), held_out=True)
        parts.append(render.draw(scenes, starts, device))
    return torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts])


def _cached(folder: Path, rng: random.Random) -> Source:
    endless = shards(folder, rng)
    return lambda: next(endless)


def _drawn(clips: int, rng: random.Random, device: torch.device) -> Source:
    def draw() -> Batch:
        return render.draw(*render.sample(rng, clips, held_out=False), device)

    return draw


def _drawn_through(vae: AutoencoderKLWan, clips: int, rng: random.Random, device: torch.device) -> Source:
    def draw() -> Batch:
        return render.draw_through(vae, *render.sample(rng, clips, held_out=False), device, render.TRUE_SIZE)

    return draw


def _vae(model: str | None, device: torch.device) -> AutoencoderKLWan:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    vae = AutoencoderKLWan.from_pretrained(folder_of(model) / "vae", torch_dtype=torch.float32, use_safetensors=True)
    torch.nn.Module.to(vae, device, dtype)  # diffusers' own `to` warns of every change of precision
    return vae.eval().requires_grad_(False)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    main()
