"""Stage 1b: the text encoder learns what captions say, without any pictures; it runs beside the autoencoder's stage.

Owns the reading heads, their classes and this stage's loop. Does not know pixels or the transformer. Learning words
through the flow loss is slow: a wrong picture says little about which word was misread. Here every attribute of the
scene is asked for directly (an unsaid one teaches how likely each value is). A head looks over the caption's tokens as
the transformer's cross-attention will, and never at the end token, so that what a word says stays on the word:
weighting works on single words. The heads are thrown away.

With `--resume` an encoder that other networks know already learns wordings that it misreads (`training.wording`): heads
are taught to read it as it is, and then it learns to be read by them, while what it made of the grammar's sentences
must not move. Networks that read it need not be trained again.

    python -m training.text_encoder --folder .train/run --tokenizer .train/tokenizer --minutes 4
"""

from __future__ import annotations

import argparse
import copy
import random
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from training import config
from training.attributes import (
    BACKDROPS,
    CAMERAS,
    COLOURS,
    LIGHTS,
    MOTIONS,
    NATURAL,
    NO_STYLE,
    SIZES,
    STYLES,
    SUBJECTS,
    TIMES_OF_DAY,
    WEATHERS,
)
from training.captions import FAST_PACE, SLOW_PACE, caption
from training.latents import END_TOKEN, tokenize, with_unknown
from training.networks import embed_prompts, load_text_encoder, new_text_encoder, save_text_encoder
from training.optimizer import Optimizer
from training.scene import Scene, sample_scene
from training.session import Average, Clock, Log, Session, learning_rate_factor
from training.wording import reworded

CLASSES: dict[str, tuple[object, ...]] = {
    "subject": tuple(SUBJECTS),
    "colour": (*COLOURS, NATURAL),
    "count": (1, 2, 3, 4, 5),
    "size": SIZES,
    "scene": BACKDROPS,
    "time_of_day": TIMES_OF_DAY,
    "weather": WEATHERS,
    "light": LIGHTS,
    "motion": MOTIONS,
    "camera": CAMERAS,
    "style": (NO_STYLE, *STYLES),
    "pace": ("slow", "middling", "fast"),
}
DROP_TOKENS = 0.03
"""Tokens made unknown: words outside the vocabulary must do no harm."""
READING_SHARE = 0.35
"""Of the time with `--resume`: the heads alone learn."""
STAY = 20.0
"""Weight of the squared distance from the embeddings that were."""


class Reader(nn.Module):
    """One attention-pooled linear head an attribute over a caption's embeddings."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(CLASSES), dim) / dim**0.5)
        self.heads = nn.ModuleDict({name: nn.Linear(dim, len(values)) for name, values in CLASSES.items()})

    def forward(self, embeds: Tensor, token_ids: Tensor) -> dict[str, Tensor]:
        """Embeddings [B, T, D] and their ids [B, T] to logits by attribute, [B, classes]."""
        silent = (token_ids == 0) | (token_ids == END_TOKEN)
        where = torch.einsum("hd,btd->bht", self.queries, embeds)
        where = where.masked_fill(silent[:, None], torch.finfo(where.dtype).min).softmax(-1)
        looked = torch.einsum("bht,btd->bhd", where, embeds)
        return {name: head(looked[:, at]) for at, (name, head) in enumerate(self.heads.items())}


def answers(scene: Scene) -> list[int]:
    """The index of the scene's class for each attribute."""
    pace = "slow" if scene.pace < SLOW_PACE else "fast" if scene.pace > FAST_PACE else "middling"
    told = {name: getattr(scene, name) for name in CLASSES} | {"pace": pace}
    return [values.index(told[name]) for name, values in CLASSES.items()]


class Captions(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches: token ids [count, T], cut to the longest caption, and answers [count, attributes].

    Args:
        others: the first half are wordings beyond the grammar.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, count: int, seed: int, *, others: bool = False) -> None:
        self._tokenizer, self._count, self._seed, self._others = tokenizer, count, seed, others

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(self._seed * 1013 + (worker.id if worker is not None else 0))
        while True:
            told = [_reworded(rng) for _ in range(self._count // 2)] if self._others else []
            scenes = [sample_scene(rng, held_out=False) for _ in range(self._count - len(told))]
            told += [(scene, caption(scene, rng)) for scene in scenes]
            ids = tokenize(self._tokenizer, [text for _, text in told])
            longest = int((ids != 0).sum(1).max())
            yield ids[:, :longest], torch.tensor([answers(scene) for scene, _ in told])


def _reworded(rng: random.Random) -> tuple[Scene, str]:
    while True:
        scene = sample_scene(rng, held_out=False, hard=True)
        if (text := reworded(scene, rng)) is not None:
            return scene, text


def reading_loss(logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy by attribute; labels [B, attributes] as `answers` gives them."""
    return {name: F.cross_entropy(logits[name], labels[:, at]) for at, name in enumerate(CLASSES)}


def main() -> None:
    """Train until the time is up; the averaged weights go to `<run>/text_encoder.pt`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="other wordings for the encoder that the run has")
    args = parser.parse_args()
    clock, session = Clock(args.minutes), Session.start(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    model = load_text_encoder(args.folder) if args.resume else new_text_encoder(len(tokenizer))
    reader = Reader(config.TEXT_ENCODER["d_model"]).to(session.device)
    model.to(session.device)
    before = copy.deepcopy(model).requires_grad_(False) if args.resume else None
    optimizer, average = Optimizer([model, reader], lr=args.lr), Average(model, 0.998)
    log, step = Log(args.folder / "text.jsonl"), 0
    captions = Captions(tokenizer, args.batch, args.seed, others=args.resume)
    batches = iter(DataLoader(captions, batch_size=None, num_workers=args.workers))
    while clock.fraction < 1 and step < args.max_steps:
        ids, labels = (tensor.to(session.device) for tensor in next(batches))
        ids, half = with_unknown(ids, DROP_TOKENS), len(ids) // 2
        if before is None:
            losses = reading_loss(reader(embed_prompts(model, ids), ids), labels)
        elif clock.fraction < READING_SHARE:
            losses = reading_loss(reader(embed_prompts(before, ids[half:]), ids[half:]), labels[half:])
        else:
            embeds, old = embed_prompts(model, ids), embed_prompts(before, ids[half:])
            reader.requires_grad_(False)
            losses = reading_loss(reader(embeds[:half], ids[:half]), labels[:half])
            losses["stay"] = STAY * (embeds[half:] - old).square().sum() / old.square().sum()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step(learning_rate_factor(clock.fraction))
        average.update()
        step += 1
        if step % 100 == 0:
            shown = {name: float(loss.detach()) for name, loss in losses.items()}
            log.write(step=step, seconds=clock.seconds, **shown)
    save_text_encoder(args.folder, len(tokenizer), average.state_dict())
    log.write(step=step, seconds=clock.seconds, saved=True)


if __name__ == "__main__":
    main()
