"""A WAN checkpoint ready to run: its specification, its engines and the prompts that it has encoded.

Owns loading: from a folder or the hub, in the backend's precision, after asking whether it fits. Does not know
requests, jobs or pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from engines import load_engines
from engines.base import Engines
from engines.checkpoint import read_checkpoint, read_configs
from engines.errors import CheckpointError
from pipeline import memory
from pipeline.overlap import Threads
from pipeline.spec import Spec, read_spec
from pipeline.text import PromptCache
from styles import WeightedText

EMBEDDED = Path(__file__).resolve().parent.parent / "assets" / "embedded"


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint with its engines.

    Attributes:
        sizes: what memory and time depend on; None where nothing is to be predicted.
        threads: that frames are made in.
    """

    spec: Spec
    tokenizer: PreTrainedTokenizerBase
    engines: Engines
    sizes: memory.Sizes | None = None
    prompts: PromptCache = field(default_factory=PromptCache)
    threads: Threads = field(default_factory=Threads)

    @property
    def backend(self) -> str:
        """The backend's label, for people."""
        return self.engines.label

    def encode_prompt(self, runs: Sequence[WeightedText]) -> Tensor:
        """prompt_embeds of one prompt, see `pipeline.text.encode_prompt`; a prompt seen lately is not encoded again."""
        return self.prompts.encode(runs, self.tokenizer, self.engines.text_encoder, self.spec.max_sequence_length)


def load_model(
    source: str | Path | None = None,
    *,
    backend: str = "auto",
    stop: Callable[[], bool] = lambda: False,
    frame_sizes: tuple[tuple[int, int], ...] | None = None,
) -> Model:
    """Load a checkpoint.

    Args:
        source: a local folder in diffusers layout or a Hugging Face hub id; None for the embedded model.
        backend, stop, frame_sizes: see `engines.load_engines`.

    Raises:
        CheckpointError: it cannot be read, or does not fit into memory, and why.
        EngineError: the backend cannot run here.
    """
    folder = folder_of(source)
    configs = read_configs(folder)
    spec = read_spec(configs)
    machine = memory.this_machine()
    memory.require(configs, machine, in_fp8=backend == "fp8")
    # OpenVINO takes float32 and chooses its own precision; a GPU's weights are halved on the way in.
    dtype = torch.bfloat16 if machine.is_gpu and backend != "openvino" else torch.float32
    checkpoint = read_checkpoint(folder, dtype=dtype)
    engines = load_engines(checkpoint, backend, stop=stop, frame_sizes=frame_sizes)
    return Model(spec=spec, tokenizer=checkpoint.tokenizer, engines=engines, sizes=memory.read_sizes(configs))


def folder_of(source: str | Path | None) -> Path:
    """The checkpoint's folder on this machine; a hub id is downloaded (safetensors and configurations only).

    Raises:
        CheckpointError: there is no such folder, or the hub does not give it.
    """
    if source is None:
        return EMBEDDED
    path, source = Path(source).expanduser(), str(source)
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
