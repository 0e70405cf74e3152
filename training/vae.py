"""Stage 1: train the autoencoder on clips of the world.

Owns its losses and its data. Does not know the transformer. The latents get noise before they are decoded: what the
transformer makes later is never exact, and a decoder that was trained on exact latents shows every error.

    training/launch.sh training.vae --minutes 6.5 --folder .train/run
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from torch import Tensor

from training import config
from training.autoencode import decode_frames, encode_moments
from training.optimizer import Optimizer
from training.scene import Scene, sample_scene
from training.session import Average, Clock, Log, Session, learning_rate_factor, load, save
from training.world import render

LATENT_NOISE = 0.05
"""Standard deviation of the noise on latents in training, in units of a latent of unit variance."""
KL_WEIGHT = 2e-5


def new_vae(sizes: dict[str, Any] | None = None) -> AutoencoderKLWan:
    """An untrained autoencoder whose statistics are zero mean, unit deviation."""
    sizes = sizes or config.VAE
    channels = sizes["z_dim"]
    return AutoencoderKLWan(**sizes, latents_mean=[0.0] * channels, latents_std=[1.0] * channels)


def load_vae(run: Path, device: torch.device | str) -> AutoencoderKLWan:
    """The trained autoencoder of a run, frozen, with its measured latent statistics."""
    states = load(run / "vae.pt")
    vae = AutoencoderKLWan(**states["config"], latents_mean=states["mean"].tolist(), latents_std=states["std"].tolist())
    vae.load_state_dict({name: tensor.float() for name, tensor in states["weights"].items()})
    return vae.to(device).eval().requires_grad_(False)


def draw_clips(rng: random.Random, count: int, frames: int, size: config.Size, device: torch.device) -> Tensor:
    """Random clips of the world that start anywhere in their eight seconds: [count, 3, frames, H, W] in [-1, 1]."""
    scenes: list[Scene] = [sample_scene(rng, held_out=False) for _ in range(count)]
    starts = torch.tensor([rng.uniform(0, 8 - frames / config.FPS) for _ in range(count)])
    times = starts[:, None] + torch.arange(frames) / config.FPS
    return render(scenes, times.to(device), height=size.height, width=size.width, device=device).float()


def losses(vae: AutoencoderKLWan, frames: Tensor, noise: float) -> dict[str, Tensor]:
    """Parts of the loss: errors of values, of differences in space and time, at a quarter of the size; the KL term."""
    mean, log_variance = encode_moments(vae, frames)
    mean, log_variance = mean.float(), log_variance.float()
    unit = mean.detach().std((0, 2, 3, 4), keepdim=True)
    latents = mean + torch.randn_like(mean) * (torch.exp(log_variance) + (noise * unit) ** 2).sqrt()
    error = decode_frames(vae, latents).float() - frames
    small = F.avg_pool3d(error, (1, 4, 4))
    edges = sum(error.diff(dim=axis).abs().mean() for axis in (2, 3, 4))
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return {
        "l1": error.abs().mean(),
        "l2": error.square().mean(),
        "edges": torch.as_tensor(edges),
        "small": small.abs().mean(),
        "kl": kl,
    }


def total(parts: dict[str, Tensor]) -> Tensor:
    """The sum that is minimised."""
    return parts["l1"] + 2.0 * parts["l2"] + 0.25 * parts["edges"] + 0.5 * parts["small"] + KL_WEIGHT * parts["kl"]


@torch.no_grad()
def measure(
    vae: AutoencoderKLWan, rng: random.Random, clips: int, size: config.Size, device: torch.device
) -> tuple[Tensor, Tensor, float]:
    """Latent mean and deviation per channel, and the mean PSNR in dB of exact round trips of 17 frames."""
    sums: list[Tensor] = []
    squares: list[Tensor] = []
    psnr: list[Tensor] = []
    for _ in range(clips):
        frames = draw_clips(rng, 2, 17, size, device)
        latents, _ = encode_moments(vae, frames)
        sums.append(latents.double().mean((0, 2, 3, 4)))
        squares.append(latents.double().square().mean((0, 2, 3, 4)))
        error = (decode_frames(vae, latents).clamp(-1, 1) - frames).square().mean((1, 2, 3, 4))
        psnr.append(10 * torch.log10(4 / error.clamp(min=1e-8)))
    mean = torch.stack(sums).mean(0)
    variance = torch.stack(squares).mean(0) - mean.square()
    return mean, variance.clamp(min=1e-8).sqrt(), float(torch.cat(psnr).mean())


def crop(clips: Tensor, side: int, rng: random.Random) -> Tensor:
    """The same random square out of every clip, at most `side` pixels a side."""
    height, width = clips.shape[-2:]
    h, w = min(side, height), min(side, width)
    top, left = rng.randint(0, height - h), rng.randint(0, width - w)
    return clips[..., top : top + h, left : left + w]


def main() -> None:
    """Train until the time is up; the averaged weights and their statistics are written to `<run>/vae.pt`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--part", type=float, nargs=2, default=(0.0, 1.0), help="of the schedule that this call runs")
    parser.add_argument("--compile", action="store_true", help="one graph for each chunk; sizes must not change then")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--sizes", nargs="+", default=["768x448", "768x448", "384x224", "1280x736", "576x1024"])
    parser.add_argument("--crop", type=int, default=320)
    parser.add_argument("--clips", type=int, default=8, help="rendered at once on each process")
    parser.add_argument("--crops", type=int, default=2, help="crops of each clip in a step")
    parser.add_argument("--steps", type=int, default=3, help="steps taken on each rendering")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    clock = Clock(args.minutes, tuple(args.part))
    session = Session.start(args.seed)
    rng = random.Random(args.seed * 1000 + session.rank)
    device, sizes = session.device, [config.Size.parse(text) for text in args.sizes]
    vae = new_vae().to(device)
    if (args.folder / "vae.pt").exists():
        vae.load_state_dict({k: t.float() for k, t in load(args.folder / "vae.pt")["weights"].items()})
    session.broadcast(vae)
    if args.compile:
        vae.encoder.compile(dynamic=False)
        vae.decoder.compile(dynamic=False)
    optimizer, average = Optimizer([vae], lr=args.lr, weight_decay=1e-4), Average(vae, 0.998)
    log = Log(args.folder / "vae.jsonl" if session.is_main else None)
    step, fraction = 0, clock.begin
    while fraction < clock.end and step < args.max_steps:
        with torch.no_grad():
            clips = draw_clips(rng, args.clips, args.frames, rng.choice(sizes), device)
        for _ in range(args.steps):
            frames = torch.cat([crop(clips, args.crop, rng) for _ in range(args.crops)])
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                parts = losses(vae, frames, LATENT_NOISE)
            total(parts).backward()
            session.average_gradients(optimizer.parameters)
            norm = optimizer.step(learning_rate_factor(fraction))
            average.update()
            step += 1
        if step % 20 < args.steps:
            fraction = session.agree(clock.fraction)
        if session.is_main and step % 100 < args.steps:
            shown = {name: float(value.detach()) for name, value in parts.items()}
            log.write(step=step, seconds=clock.seconds, norm=float(norm), **shown)
    if session.is_main:
        vae = new_vae().to(device)  # not the compiled one: it would be compiled anew for the sizes measured
        vae.load_state_dict(average.state_dict())
        mean, std, psnr = measure(vae, random.Random(7), 8 if device.type == "cuda" else 1, sizes[0], device)
        weights = {k: t.half() for k, t in average.state_dict().items()}
        states = {"weights": weights, "mean": mean.float().cpu(), "std": std.float().cpu(), "config": config.VAE}
        save(args.folder / "vae.pt", states)
        log.write(step=step, seconds=clock.seconds, psnr_db=psnr, latent_std=float(std.mean()))
    session.finish()


if __name__ == "__main__":
    main()
