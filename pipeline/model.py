"""A WAN checkpoint ready to run: its specification and its engines.

Owns what a checkpoint says of itself (latent grid, block sizes, default steps and guidance) and loading it. Does not
know requests, jobs or pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from engines import load_engines
from engines.base import Engines
from engines.checkpoint import Checkpoint, read_checkpoint
from engines.errors import CheckpointError
from pipeline.blocks import Grid

EMBEDDED = Path(__file__).resolve().parent.parent / "assets" / "embedded"

# A checkpoint without streaming.json is a public, bidirectional WAN: the whole clip is one block, and these are the
# defaults of its model card (Wan-AI/Wan2.2-TI2V-5B-Diffusers).
_WHOLE_CLIP: dict[str, Any] = {
    "first_block_latents": 0,
    "block_latents": 0,
    "sink_latents": 0,
    "window_latents": 0,
    "num_inference_steps": 50,
    "guidance_scale": 5.0,
    "max_sequence_length": 512,
}
_STREAMING_KEYS = frozenset({*_WHOLE_CLIP, "flow_shift"})


@dataclass(frozen=True, slots=True)
class Spec:
    """What a checkpoint says of itself.

    Attributes:
        name: folder or hub name, for people.
        channels: of a latent.
        num_inference_steps, guidance_scale: defaults; guidance 1 means none.
        flow_shift: of the schedule.
        max_sequence_length: tokens of a prompt.
    """

    name: str
    grid: Grid
    channels: int
    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    max_sequence_length: int


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint with its engines."""

    spec: Spec
    tokenizer: PreTrainedTokenizerBase
    engines: Engines

    @property
    def backend(self) -> str:
        """The backend's label, for people."""
        return self.engines.label


def load_model(source: str | Path | None = None, *, backend: str = "auto") -> Model:
    """Load a checkpoint.

    Args:
        source: a local folder in diffusers layout or a Hugging Face hub id; None for the embedded model.
        backend: see `engines.load_engines`.

    Raises:
        CheckpointError: it cannot be read, and why.
        EngineError: the backend cannot run here.
    """
    folder = EMBEDDED if source is None else _folder(str(source))
    checkpoint = read_checkpoint(folder)
    spec = read_spec(checkpoint)
    return Model(spec=spec, tokenizer=checkpoint.tokenizer, engines=load_engines(checkpoint, backend))


def read_spec(checkpoint: Checkpoint) -> Spec:
    """The specification from the checkpoint's own configuration files."""
    path = checkpoint.folder / "streaming.json"
    streaming: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else dict(_WHOLE_CLIP)
    streaming.setdefault("flow_shift", checkpoint.scheduler.get("flow_shift", 1.0))
    difference = ", ".join(sorted(_STREAMING_KEYS.symmetric_difference(streaming)))
    if difference:
        raise CheckpointError(f"{checkpoint.folder.name}/streaming.json: missing or unknown: {difference}")
    vae, transformer = checkpoint.vae.config, checkpoint.transformer.config
    grid = Grid(
        scale_spatial=2 ** len(vae["temperal_downsample"]) * (vae["patch_size"] or 1),
        scale_temporal=2 ** sum(vae["temperal_downsample"]),
        patch=transformer["patch_size"][1],
        first_block=streaming["first_block_latents"],
        block=streaming["block_latents"],
        sink=streaming["sink_latents"],
        window=streaming["window_latents"],
    )
    return Spec(
        name=checkpoint.folder.name,
        grid=grid,
        channels=transformer["in_channels"],
        num_inference_steps=streaming["num_inference_steps"],
        guidance_scale=streaming["guidance_scale"],
        flow_shift=streaming["flow_shift"],
        max_sequence_length=streaming["max_sequence_length"],
    )


def _folder(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise CheckpointError(f"no such folder: {source}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(source, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt"]))
    except (RepositoryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"{source}: cannot be downloaded ({type(error).__name__})") from error
