"""Styled, weighted prompt to prompt_embeds.

Owns tokenising, the fixed length, the weighting of embeddings and the memory of prompts encoded lately, so that a text
encoder that had to leave the device is not called back for a prompt that was only tried again. Does not know styles:
it gets runs of literal text with a weight each.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from engines.base import TextEncoder
from styles import WeightedText


class PromptCache:
    """prompt_embeds of the last prompts of one model, in host memory; safe to share between threads.

    Args:
        size: prompts that are kept; WAN's are 8 MiB each.
    """

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[WeightedText, ...], tuple[Tensor, torch.device]] = OrderedDict()

    def encode(
        self,
        runs: Sequence[WeightedText],
        tokenizer: PreTrainedTokenizerBase,
        encoder: TextEncoder,
        max_length: int,
    ) -> Tensor:
        """As `encode_prompt`, whose arguments must be the same model's every time."""
        key = tuple(runs)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                embeds, device = self._kept[key]
                return embeds.to(device)
        embeds = encode_prompt(runs, tokenizer, encoder, max_length)
        with self._lock:
            self._kept[key] = (embeds.cpu(), embeds.device)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return embeds


def encode_prompt(
    runs: Sequence[WeightedText], tokenizer: PreTrainedTokenizerBase, encoder: TextEncoder, max_length: int
) -> Tensor:
    """Encode one prompt.

    Weighting: token i of weight w becomes e0_i + w · (e_i − e0_i), with e the prompt's embeddings and e0 those of the
    empty prompt (the interpolation that ComfyUI calls "comfy"). All weights 1: exactly e.

    Args:
        runs: the prompt; its text is the runs' joined.
        max_length: tokens; what is longer is cut (see `pipeline.tokens`).

    Returns:
        prompt_embeds float32 [1, max_length, text_dim], zero behind the last token, as WAN was trained.
    """
    text = "".join(run.text for run in runs)
    embeds = _encode(text, tokenizer, encoder, max_length)
    if all(run.weight == 1.0 for run in runs):
        return embeds
    empty = _encode("", tokenizer, encoder, max_length)
    return weighted(embeds, empty, token_weights(runs, tokenizer, max_length).to(embeds.device))


def weighted(embeds: Tensor, empty: Tensor, weights: Tensor) -> Tensor:
    """Embeddings moved by weights, see `encode_prompt`; those of weight 1 stay to the bit.

    Args:
        embeds: [B, S, text_dim].
        empty: of the empty prompt, as many or one.
        weights: [B, S, 1], see `token_weights`.
    """
    return torch.where(weights == 1.0, embeds, empty + weights * (embeds - empty))


def _encode(text: str, tokenizer: PreTrainedTokenizerBase, encoder: TextEncoder, max_length: int) -> Tensor:
    tokens = tokenizer(text, padding="max_length", truncation=True, max_length=max_length, return_tensors="pt")
    return encoder.encode(tokens["input_ids"], tokens["attention_mask"])


def token_weights(runs: Sequence[WeightedText], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Tensor:
    """float32 [1, max_length, 1]: the weight of the run in which each token begins; 1 for the end and the padding."""
    text, by_character = "".join(run.text for run in runs), [run.weight for run in runs for _ in run.text]
    offsets = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)["offset_mapping"]
    weights = torch.ones(1, max_length, 1)
    for i, (start, end) in enumerate(offsets):
        if end > start:
            # A token may begin with the space before its word: the last character decides.
            weights[0, i, 0] = by_character[end - 1]
    return weights
