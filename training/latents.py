"""Latents of the world on the GPU: drawn, encoded, kept in a ring, handed out in batches.

Owns which part of a clip is shown and with what words. Does not know losses. A sample is latent 0 alone (an image), or
latent 0 and nine later ones: those that follow it (a clip from its start), or three blocks from anywhere in the clip (a
far one), of which the first is context only. Far blocks are encoded with some frames before them, so that the causal
encoder sees a clip that goes on.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedTokenizerBase

from pipeline.text import token_weights
from training import config
from training.autoencode import encode_moments, normalise
from training.scene import Scene, sample_scene
from training.wording import say, stressed, weather_spans, whole
from training.world import draw

SAMPLE_BLOCKS = 3
SAMPLE_LATENTS = 1 + SAMPLE_BLOCKS * config.BLOCK_LATENTS
FAR_BLOCKS = (config.MAX_LATENTS - SAMPLE_LATENTS) // config.BLOCK_LATENTS
"""Blocks of the longest clip that a sample's later part can have before it."""
WARM_UP_LATENTS = 3
"""Latents encoded before a far block and thrown away, the single frame at the start included."""
FAINT = (0.0, 0.75)
"""How much shows of weather that counts as none."""
UNKNOWN_TOKEN = 2
END_TOKEN = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one size."""

    latents: Tensor  # [B, C, 1 or 10, h, w] fp32, normalised
    token_ids: Tensor  # [B, T] int64
    loudness: Tensor  # [B, T] fp32, `LOUDNESS` of tokens that say rain, snow or fog, else 0
    positions: Tensor  # [B, 1 or 10] int64
    is_far: Tensor  # [B] bool
    subject: Tensor  # [B, 1 or 10, h, w] fp32, 1 in cells that a subject or its border touches, else 0


@dataclass(frozen=True, slots=True)
class Drawing:
    """Scenes with their captions and the block at which the later part begins, before they are rendered."""

    scenes: list[Scene]
    token_ids: Tensor  # [N, captions, T] int16
    loudness: Tensor  # [N, captions, T] fp32, as of `Batch`
    start: int  # latent index, 1 + 3k; 0 for images


class Drawings(IterableDataset[Drawing]):
    """Endless random scenes and captions, made by worker processes; of images where `far` is None.

    Args:
        far: share of clips whose later part comes from anywhere.
        faint: share of rain, snow and fog that hardly shows, and is said to be fine weather.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        seed: int,
        clips: int,
        captions: int,
        far: float | None,
        faint: float = 0.0,
    ) -> None:
        self._tokenizer, self._seed, self._faint = tokenizer, seed, faint
        self._clips, self._captions, self._far = clips, captions, far

    def __iter__(self) -> Iterator[Drawing]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(self._seed * 1009 + (worker.id if worker is not None else 0))
        while True:
            scenes = [
                _fainter(sample_scene(rng, held_out=False, hard=True), self._faint, rng) for _ in range(self._clips)
            ]
            texts = [say(scene, rng) for scene in scenes for _ in range(self._captions)]
            ids = tokenize(self._tokenizer, texts).view(self._clips, self._captions, -1).to(torch.int16)
            loudness = weather_tokens(self._tokenizer, texts).view(self._clips, self._captions, -1)
            if self._far is None:
                yield Drawing(scenes, ids, loudness, 0)
                continue
            blocks = rng.randint(1, FAR_BLOCKS) if rng.random() < self._far else 0
            yield Drawing(scenes, ids, loudness, 1 + config.BLOCK_LATENTS * blocks)


def _fainter(scene: Scene, share: float, rng: random.Random) -> Scene:
    """The scene, or of a share of those with weather one that shows less of it."""
    if scene.weather == "clear" or rng.random() >= share:
        return scene
    return dataclasses.replace(scene, intensity=rng.uniform(*FAINT))


def latents_of(number: int) -> slice:
    """Of a clip's block of this number, from 0."""
    return slice(max(0, 1 + config.BLOCK_LATENTS * (number - 1)), 1 + config.BLOCK_LATENTS * number)


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Tensor:
    """Token ids [N, T] int64, padded and cut as WAN's pipeline does."""
    made = tokenizer(texts, padding="max_length", max_length=config.TEXT_TOKENS, truncation=True, return_tensors="pt")
    return made.input_ids


def weather_tokens(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Tensor:
    """`LOUDNESS` of the tokens by which sentences of the grammar say rain, snow or fog: fp32 [N, T], else 0."""
    loudness = torch.zeros(len(texts), config.TEXT_TOKENS)
    for row, text in enumerate(texts):
        if weather_spans(text):  # two of three say nothing of it
            weights = token_weights(stressed(whole(text), 2.0), tokenizer, config.TEXT_TOKENS)
            loudness[row] = weights.flatten().log2()
    return loudness


def empty_ids(length: int, device: torch.device) -> Tensor:
    """The empty caption's token ids [1, length] int64: an end token and nothing else."""
    ids = torch.zeros(1, length, dtype=torch.long, device=device)
    ids[:, 0] = END_TOKEN
    return ids


def with_unknown(ids: Tensor, share: float) -> Tensor:
    """Token ids with a share of the words made unknown: words outside the vocabulary must do no harm."""
    unknown = (torch.rand(ids.shape, device=ids.device) < share) & (ids > UNKNOWN_TOKEN)
    return ids.masked_fill(unknown, UNKNOWN_TOKEN)


def loader(drawings: Drawings, workers: int) -> Iterator[Drawing]:
    """Drawings from `workers` processes, or from this one for 0."""
    return iter(DataLoader(drawings, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None))


@torch.no_grad()
def encode_drawing(
    vae: AutoencoderKLWan, drawing: Drawing, size: config.Size, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Render and encode one drawing: normalised latents [N, C, 1 or 10, h, w] and `Batch.subject`."""
    if drawing.start == 0:
        return _encode(vae, drawing.scenes, range(1), size, device)
    later = config.FRAMES_PER_LATENT * (SAMPLE_LATENTS - 1)
    if drawing.start == 1:
        return _encode(vae, drawing.scenes, range(1 + later), size, device)
    first = config.FRAMES_PER_LATENT * (drawing.start - WARM_UP_LATENTS)
    frames = range(first, config.FRAMES_PER_LATENT * (drawing.start - 1) + 1 + later)
    later_latents, later_subject = _encode(vae, drawing.scenes, frames, size, device)
    latents, subject = _encode(vae, drawing.scenes, range(1), size, device)
    latents = torch.cat([latents, later_latents[:, :, WARM_UP_LATENTS:]], 2)
    return latents, torch.cat([subject, later_subject[:, WARM_UP_LATENTS:]], 1)


def _encode(
    vae: AutoencoderKLWan, scenes: list[Scene], frames: range, size: config.Size, device: torch.device
) -> tuple[Tensor, Tensor]:
    times = (torch.tensor(list(frames), device=device) / config.FPS).expand(len(scenes), -1)
    pixels, distance = draw(scenes, times, height=size.height, width=size.width, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        mean, _ = encode_moments(vae, pixels.to(torch.bfloat16 if device.type == "cuda" else torch.float32))
    return normalise(vae, mean.float()), _touched(distance)


def _touched(distance: Tensor) -> Tensor:
    """Distances to the subjects [B, 1 + 4k, H, W] to 1 in latent cells [B, 1 + k, h, w] on or beside them, else 0."""
    stride, frames = config.LATENT_STRIDE, config.FRAMES_PER_LATENT
    near = -F.max_pool2d(-distance.float(), stride, stride)  # the nearest in each cell
    later = near[:, 1:].unflatten(1, (-1, frames)).amin(2) if near.shape[1] > 1 else near[:, :0]
    return (torch.cat([near[:, :1], later], 1) < 0.01).float()


class LatentRing:
    """The newest samples of one size, in bf16: clips, or images."""

    def __init__(self, size: config.Size, capacity: int, device: torch.device, *, images: bool = False) -> None:
        self.size, self.device, self.images = size, device, images
        self.held = self.drawn = 0
        self._cursor, self._capacity = 0, capacity
        self._tensors: list[Tensor] = []

    def add(self, vae: AutoencoderKLWan, drawing: Drawing) -> None:
        """Render, encode and keep one drawing in place of the oldest."""
        latents, subject = encode_drawing(vae, drawing, self.size, self.device)
        later = torch.arange(drawing.start, drawing.start + latents.shape[2] - 1)
        positions = torch.cat([torch.zeros(1, dtype=torch.long), later]).expand(len(latents), -1)
        rows = [
            latents.to(torch.bfloat16),
            drawing.token_ids.to(self.device),
            drawing.loudness.to(self.device),
            positions.to(self.device),
            subject.bool(),
        ]
        if not self._tensors:
            self._tensors = [row.new_empty(self._capacity, *row.shape[1:]) for row in rows]
        at = torch.arange(self._cursor, self._cursor + len(latents), device=self.device) % self._capacity
        for tensor, row in zip(self._tensors, rows, strict=True):
            tensor[at] = row
        self._cursor = (self._cursor + len(latents)) % self._capacity
        self.drawn += len(latents)
        self.held = min(self._capacity, self.held + len(latents))

    def batch(self, count: int, *, drop_captions: float = 0.1, drop_tokens: float = 0.02) -> Batch:
        """Random samples, each with one of its captions; some captions empty, some tokens unknown."""
        latents, token_ids, loudness, positions, subject = self._tensors
        rows = torch.randint(self.held, (count,), device=self.device)
        which = torch.randint(token_ids.shape[1], (count,), device=self.device)
        ids = token_ids[rows, which].long()
        ids = with_unknown(ids, drop_tokens)
        empty = empty_ids(ids.shape[1], self.device)
        ids = torch.where((torch.rand(count, 1, device=self.device) < drop_captions), empty, ids)
        chosen = positions[rows]
        loud = loudness[rows, which]
        return Batch(latents[rows].float(), ids, loud, chosen, chosen[:, -1] >= SAMPLE_LATENTS, subject[rows].float())

    def random_batch(self, count: int, channels: int) -> Batch:
        """Numbers of a batch's shapes and nothing else, for compiling."""
        length = 1 if self.images else SAMPLE_LATENTS
        latents = torch.randn(count, channels, length, *self.size.latent, device=self.device)
        token_ids = torch.full((count, config.TEXT_TOKENS), END_TOKEN, device=self.device)
        positions = torch.arange(length, device=self.device).expand(count, -1)
        far = torch.zeros(count, dtype=torch.bool, device=self.device)
        loudness = torch.zeros(token_ids.shape, device=self.device)
        return Batch(latents, token_ids, loudness, positions, far, (latents[:, 0] > 1).float())
