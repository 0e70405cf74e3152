"""Which shapes a checkpoint's engines must take: prompt tokens, frame sizes, blocks and their context.

Owns reading them from the checkpoint's configuration files. Integers only; imports no torch. Whoever plans the blocks
of a clip may ask for these shapes and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.errors import CheckpointError
from engines.json_file import read_json

FRAME_SIZES: tuple[tuple[int, int], ...] = ((768, 432), (1024, 576), (576, 1024), (1280, 720))

# A public checkpoint has no streaming.json: a first block of 5 latents, later ones of 8 behind one of context, all of
# them given as latents; 512 tokens.
_PUBLIC: dict[str, Any] = {
    "strategy": "chained",
    "first_block_latents": 5,
    "block_latents": 8,
    "sink_latents": 0,
    "window_latents": 1,
    "max_sequence_length": 512,
}


@dataclass(frozen=True, slots=True)
class Shapes:
    """What is asked of the engines.

    Attributes:
        tokens: of a prompt.
        frame_sizes: width and height in pixels.
        sizes: height and width in latents of each of them, whole patches.
        blocks: latents of a block, and latents of context whose keys and values are cached.
    """

    tokens: int
    frame_sizes: tuple[tuple[int, int], ...]
    sizes: tuple[tuple[int, int], ...]
    blocks: tuple[tuple[int, int], ...]

    @property
    def has_context(self) -> bool:
        """Whether any block attends to cached keys and values."""
        return any(context for _, context in self.blocks)

    def describe(self) -> str:
        """One line for a manifest."""
        sizes = ",".join(f"{h}x{w}" for h, w in self.sizes)
        blocks = ",".join(f"{latents}+{context}" for latents, context in self.blocks)
        return f"{self.tokens} tokens; latents {sizes}; blocks {blocks}"


def read_shapes(
    checkpoint: Path,
    *,
    frame_sizes: tuple[tuple[int, int], ...] = FRAME_SIZES,
    blocks: tuple[tuple[int, int], ...] | None = None,
) -> Shapes:
    """The shapes for a checkpoint.

    Args:
        frame_sizes: width and height in pixels, as a person asks for them.
        blocks: instead of those that the checkpoint says.

    Raises:
        CheckpointError: a configuration file is missing or has not what is needed.
    """
    path = checkpoint / "streaming.json"
    said = read_json(path) if path.is_file() else _PUBLIC
    vae, transformer = (
        read_json(checkpoint / "vae" / "config.json"),
        read_json(checkpoint / "transformer" / "config.json"),
    )
    try:
        patch = transformer["patch_size"][1]
        scale = 2 ** len(vae["temperal_downsample"]) * (vae.get("patch_size") or 1)
        cell = patch * scale
        sizes = tuple((-(-height // cell) * patch, -(-width // cell) * patch) for width, height in frame_sizes)
        return Shapes(said["max_sequence_length"], frame_sizes, sizes, blocks or _blocks(said))
    except KeyError as error:
        raise CheckpointError(f"{checkpoint.name}: no {error} in its configuration") from error


def _blocks(said: dict[str, Any]) -> tuple[tuple[int, int], ...]:
    """Every (latents, context) that a clip of any length has, in the order in which they first come."""
    first, later = said["first_block_latents"], said["block_latents"]
    sink, window = said["sink_latents"], said["window_latents"]
    if said.get("strategy", "causal") == "chained":
        return ((first, 0), (later + window, 0))
    found = [(first, 0)]
    for start in range(first, first + sink + window + 2 * later, later):
        context = {*range(min(sink, start)), *range(max(start - window, 0), start)}
        found.append((later, len(context)))
    return tuple(dict.fromkeys(found))
