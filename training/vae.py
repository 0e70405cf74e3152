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
from training.autoencode import decode_frames, encode_moments, latent_statistics
from training.optimizer import Optimizer
from training.scene import NO_STYLE, Scene, sample_scene
from training.session import Average, Clock, Log, Session, learning_rate_factor, load, save, synchronise
from training.world import render

LATENT_NOISE = 0.08
"""Standard deviation of the noise on latents in training, in units of a latent of unit variance."""
KL_WEIGHT = 2e-5
ANCHOR_WEIGHT = 0.5
"""Of the squared distance from another autoencoder's latents, in their deviations."""
STYLED_WEIGHTS = {
    "Pixel Art": 3.0,
    "Anime Studio Ghibli": 3.0,
    "Paper Cut": 2.0,
    "Oil Painting": 2.0,
    "Cinematic Realism": 1.5,
}
"""How often a style comes of the clips that have one, others once: what is hardest to hold comes more often."""
SNAPSHOT_S = 120.0
"""Between two writings of what there is so far."""
FULL_MOTION = 0.25
"""Change of a value from one frame to the next from which on it counts as moving."""
PERIOD = 20
"""Steps between looks at the clock."""


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


def save_vae(vae: AutoencoderKLWan, run: Path) -> None:
    """Write what `load_vae` reads."""
    states = {
        "weights": {name: tensor.half() for name, tensor in vae.state_dict().items()},
        "mean": torch.tensor(vae.config.latents_mean),
        "std": torch.tensor(vae.config.latents_std),
        "config": {name: vae.config[name] for name in config.VAE},
    }
    save(run / "vae.pt", states)


def draw_scenes(rng: random.Random, count: int, styled: float) -> list[Scene]:
    """Random scenes, none of them held out.

    Args:
        styled: share of those that have a style for sure, by `STYLED_WEIGHTS`; of the others three in ten have one.
    """
    most, made = max(STYLED_WEIGHTS.values()), list[Scene]()
    while len(made) < count:
        scene = sample_scene(rng, held_out=False)
        if styled and rng.random() < styled:  # without, seeds give the scenes that they always gave
            while scene.style == NO_STYLE or rng.random() * most >= STYLED_WEIGHTS.get(scene.style, 1.0):
                scene = sample_scene(rng, held_out=False)
        made.append(scene)
    return made


def draw_clips(
    rng: random.Random, count: int, frames: int, size: config.Size, device: torch.device, styled: float = 0.0
) -> Tensor:
    """Random clips of the world that start anywhere in their eight seconds: [count, 3, frames, H, W] in [-1, 1]."""
    scenes = draw_scenes(rng, count, styled)
    starts = torch.tensor([rng.uniform(0, 8 - frames / config.FPS) for _ in range(count)])
    times = starts[:, None] + torch.arange(frames) / config.FPS
    return render(scenes, times.to(device), height=size.height, width=size.width, device=device).float()


def moving(frames: Tensor) -> Tensor:
    """How much of a change is near, in space and time: frames [B, 3, F, H, W] -> [B, 1, F, H, W] in [0, 1]."""
    change = (frames.diff(dim=2).abs().amax(1, keepdim=True) / FULL_MOTION).clamp(max=1)
    return F.max_pool3d(torch.cat([change[:, :, :1], change], 2), (3, 9, 9), 1, (1, 4, 4))


def losses(
    vae: AutoencoderKLWan,
    frames: Tensor,
    noise: float,
    emphasis: float = 0.0,
    anchor: AutoencoderKLWan | None = None,
    kept: float = 0.0,
) -> dict[str, Tensor]:
    """Parts of the loss: errors of values, of differences in space and time, at a quarter of the size; the KL term.

    Args:
        noise: see `LATENT_NOISE`.
        emphasis: how many times more what moves counts: a subject is a twentieth of the picture, and what is looked at.
        anchor: whose latents the first ones should stay, so that a network that knows those has only to learn the rest.
        kept: share of the clips whose pictures are made from the anchor's own latents, so that what a network makes
            that knows only those is shown at least as well as before; needs an anchor with as many channels.
    """
    with torch.no_grad():
        theirs = None if anchor is None else encode_moments(anchor, frames)[0].float()
    mean, log_variance = encode_moments(vae, frames)
    mean, log_variance = mean.float(), log_variance.float()
    unit = mean.detach().std((0, 2, 3, 4), keepdim=True)
    shown, spread = mean, torch.exp(log_variance)
    if theirs is not None and kept:
        theirs_too = torch.rand(len(frames), 1, 1, 1, 1, device=frames.device) < kept
        shown, spread = torch.where(theirs_too, theirs, mean), spread.masked_fill(theirs_too, 0)
    latents = shown + torch.randn_like(mean) * (spread + (noise * unit) ** 2).sqrt()
    error = decode_frames(vae, latents).float() - frames
    if emphasis:
        weight = 1 + emphasis * moving(frames)
        error = error * (weight / weight.mean())
    small = F.avg_pool3d(error, (1, 4, 4))
    edges = sum(error.diff(dim=axis).abs().mean() for axis in (2, 3, 4))
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    parts = {
        "l1": error.abs().mean(),
        "l2": error.square().mean(),
        "edges": torch.as_tensor(edges),
        "small": small.abs().mean(),
        "kl": kl,
    }
    if anchor is not None and theirs is not None:
        parts["anchor"] = ((mean[:, : theirs.shape[1]] - theirs) / latent_statistics(anchor, theirs)[1]).square().mean()
    return parts


def total(parts: dict[str, Tensor], anchor_weight: float = ANCHOR_WEIGHT) -> Tensor:
    """The sum that is minimised."""
    pictures = parts["l1"] + 2.0 * parts["l2"] + 0.25 * parts["edges"] + 0.5 * parts["small"]
    return pictures + KL_WEIGHT * parts["kl"] + anchor_weight * parts.get("anchor", 0.0)


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


class FrameRing:
    """The newest drawn clips of one size as bytes: drawing costs far more than a step, so each clip is used often."""

    def __init__(self, size: config.Size, capacity: int, frames: int, device: torch.device, styled: float) -> None:
        self.size, self.held = size, 0
        self._cursor, self._frames, self._device, self._styled = 0, frames, device, styled
        self._clips = torch.empty(capacity, 3, frames, size.height, size.width, dtype=torch.uint8, device=device)

    @torch.no_grad()
    def add(self, rng: random.Random, count: int) -> None:
        """Draw clips in place of the oldest."""
        drawn = draw_clips(rng, count, self._frames, self.size, self._device, self._styled)
        at = torch.arange(self._cursor, self._cursor + count, device=self._device) % len(self._clips)
        self._clips[at] = ((drawn + 1) * 127.5).round().to(torch.uint8)
        self._cursor = (self._cursor + count) % len(self._clips)
        self.held = min(len(self._clips), self.held + count)

    def crops(self, count: int, side: int, rng: random.Random) -> Tensor:
        """Random squares of random clips, [count, 3, frames, side, side] in [-1, 1]."""
        made: list[Tensor] = []
        for _ in range(count):
            top, left = rng.randint(0, self.size.height - side), rng.randint(0, self.size.width - side)
            made.append(self._clips[rng.randrange(self.held), :, :, top : top + side, left : left + side])
        return torch.stack(made).float() / 127.5 - 1


def channels_last(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """The same with its filters laid out as the tensor cores want them; cuDNN then lays out activations alike."""
    for parameter in vae.parameters():
        if parameter.ndim in (4, 5):
            layout = torch.channels_last if parameter.ndim == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return vae


def main() -> None:
    """Train until the time is up; the averaged weights and their statistics are written to `<run>/vae.pt`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--part", type=float, nargs=2, default=(0.0, 1.0), help="of the schedule that this call runs")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--sizes", nargs="+", default=["768x448", "768x448", "512x288", "1280x736", "576x1024"])
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--clips", type=int, default=8, help="rendered at once on each process")
    parser.add_argument("--crops", type=int, default=16, help="of a step")
    parser.add_argument("--capacity", type=int, default=192, help="clips of each size that are kept")
    parser.add_argument("--draw-share", type=float, default=0.3, help="part of the time spent on new clips")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument(
        "--decoder-only", action="store_true", help="the encoder stays, so what knows its latents still fits"
    )
    parser.add_argument("--noise", type=float, default=LATENT_NOISE, help="on latents, in their deviations")
    parser.add_argument("--emphasis", type=float, default=0.0, help="how many times more what moves counts")
    parser.add_argument("--anchor", type=Path, help="a run whose latents the first channels should stay")
    parser.add_argument("--anchor-weight", type=float, default=ANCHOR_WEIGHT)
    parser.add_argument("--kept", type=float, default=0.0, help="share of pictures from the anchor's own latents")
    parser.add_argument("--styled", type=float, default=0.0, help="share of clips that have a style for sure")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.kept and args.anchor is None:
        parser.error("--kept: needs --anchor")
    clock = Clock(args.minutes, tuple(args.part))
    session = Session.start(args.seed)
    rng = random.Random(args.seed * 1000 + session.rank)
    device, sizes = session.device, [config.Size.parse(text) for text in args.sizes]
    rings = {size: FrameRing(size, args.capacity, args.frames, device, args.styled) for size in sizes}
    before = load(args.folder / "vae.pt") if (args.folder / "vae.pt").exists() else None
    sizes_of_it = config.VAE if before is None else before["config"]  # it may have been narrowed
    vae = new_vae(sizes_of_it).to(device)
    if before is not None:
        vae.load_state_dict({k: t.float() for k, t in before["weights"].items()})
    session.broadcast(channels_last(vae))
    anchor = None if args.anchor is None else channels_last(load_vae(args.anchor, device))
    if args.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    learns = [vae.post_quant_conv, vae.decoder] if args.decoder_only else [vae]
    optimizer, average = Optimizer(learns, lr=args.lr, weight_decay=1e-4), Average(vae, 0.998)
    log = Log(args.folder / "vae.jsonl" if session.is_main else None)
    for ring in rings.values():
        ring.add(rng, args.clips)
    step, fraction, drawing_s, mark, snapshot_s = 0, clock.begin, 0.0, clock.seconds, clock.seconds

    def finish() -> None:
        made = new_vae(sizes_of_it).to(device)
        made.load_state_dict(average.state_dict())
        mean, std, psnr = measure(made, random.Random(7), 8 if device.type == "cuda" else 1, sizes[0], device)
        log.write(step=step, seconds=clock.seconds, psnr_db=psnr, latent_std=float(std.mean()))
        if args.decoder_only and before is not None:
            mean, std = before["mean"], before["std"]
        if anchor is not None:  # what knows those latents knows them as they were normalised
            for of, theirs in ((mean, anchor.config.latents_mean), (std, anchor.config.latents_std)):
                of[: len(theirs)] = torch.tensor(theirs)
        made.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
        save_vae(made, args.folder)

    while fraction < clock.end and step < args.max_steps:
        while drawing_s < args.draw_share * (clock.seconds - mark):
            start = clock.seconds
            rings[rng.choice(sizes)].add(rng, args.clips)
            synchronise(session)
            drawing_s += clock.seconds - start
        for _ in range(PERIOD):
            frames = rings[rng.choice(sizes)].crops(args.crops, args.crop, rng)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                parts = losses(vae, frames, args.noise, args.emphasis, anchor, args.kept)
            total(parts, args.anchor_weight).backward()
            session.average_gradients(optimizer.parameters)
            norm = optimizer.step(learning_rate_factor(fraction))
            average.update()
        step += PERIOD
        synchronise(session)
        fraction = session.agree(clock.fraction)
        if session.is_main and step % (5 * PERIOD) == 0:
            shown = {name: float(value.detach()) for name, value in parts.items()}
            log.write(step=step, seconds=clock.seconds, drawing_s=drawing_s, norm=float(norm), **shown)
        if session.is_main and clock.seconds - snapshot_s > SNAPSHOT_S:
            finish()
            snapshot_s = clock.seconds
    if session.is_main:
        finish()
    session.finish()


if __name__ == "__main__":
    main()
