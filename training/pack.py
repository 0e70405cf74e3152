"""Writes the shipped checkpoint: diffusers layout, half-precision storage, files small enough for git.

Owns the layout and the sampler's shipped defaults. Does not know training.

    python -m training.pack --folder .train/run --networks flow --tokenizer .train/tokenizer --out assets/embedded
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline
from safetensors.torch import save_file
from transformers import AutoTokenizer

from training import config
from training.networks import load_networks
from training.reward import REWARD_FILE
from training.session import load
from training.vae import load_vae

SHARD_SIZE = "12MB"
PACKED_REWARD = "reward.safetensors"
TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True, slots=True)
class Streaming:
    """`streaming.json`: what block-causal generation must know besides the networks."""

    first_block_latents: int = 1
    block_latents: int = config.BLOCK_LATENTS
    sink_latents: int = 1
    window_latents: int = config.BLOCK_LATENTS
    num_inference_steps: int = 4
    flow_shift: float = 3.0
    guidance_scale: float = 1.0
    guided_blocks: int | None = None
    guidance_limit: float | None = None
    unweave: bool = False
    max_sequence_length: int = config.TEXT_TOKENS


def scheduler(flow_shift: float) -> UniPCMultistepScheduler:
    """UniPC of order 1 with its corrector off: plain Euler steps on shifted flow-matching noise levels."""
    return UniPCMultistepScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        solver_order=1,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=flow_shift,
        disable_corrector=list(range(TRAIN_TIMESTEPS)),
    )


def pack(folder: Path, networks: list[str], tokenizer: Path, out: Path, streaming: Streaming) -> None:
    """Write the checkpoint; an older one at the same place is replaced.

    Args:
        folder: of a run, with `vae.pt`.
        networks: name of the folder in it with the transformer and the text encoder. Of several, one trained on from
            the other, the mean of the transformers is taken (model soups, arXiv 2203.05482), and the last text encoder.
        tokenizer: what `training.tokenizer` wrote.
        out: `WanPipeline.from_pretrained(out)` reads it.

    Raises:
        FileNotFoundError: when a stage of the run is missing.
    """
    *others, held = (load_networks(folder / name, "cpu") for name in networks)
    states = [networks.transformer.state_dict() for networks in (*others, held)]
    held.transformer.load_state_dict({name: torch.stack([s[name] for s in states]).mean(0) for name in states[0]})
    pipeline = WanPipeline(
        tokenizer=AutoTokenizer.from_pretrained(tokenizer),
        text_encoder=held.text_encoder.half(),
        vae=load_vae(folder, "cpu").half(),
        scheduler=scheduler(streaming.flow_shift),
        transformer=held.transformer.half(),
    )
    shutil.rmtree(out, ignore_errors=True)
    pipeline.save_pretrained(out, safe_serialization=True, max_shard_size=SHARD_SIZE)
    _load_in_fp32(out / "text_encoder" / "config.json")
    (out / "streaming.json").write_text(json.dumps(dataclasses.asdict(streaming), indent=2) + "\n")


def pack_reward(folder: Path, out: Path) -> None:
    """Write the run's reward to one file, for another run to go on with: `training.unpack.unpack_reward` reads it.

    What reads captions is kept as it is, in half precision; what reads latents goes on learning: 8 bits a weight.
    """
    states = load(folder / REWARD_FILE)
    held = {f"{part}.{name}": value for part, values in states.items() for name, value in values.items()}
    eight = {
        name: value.to(torch.float8_e4m3fn)
        for name, value in held.items()
        if value.ndim > 1 and not name.startswith("text.")
    }
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    save_file(held | eight, out / PACKED_REWARD)


def _load_in_fp32(path: Path) -> None:
    """Storage is half precision, arithmetic is not: transformers would take the one dtype for the other."""
    fields = json.loads(path.read_text())
    fields["dtype"] = str(torch.float32).removeprefix("torch.")
    path.write_text(json.dumps(fields, indent=2) + "\n")


def main() -> None:
    """Pack one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["flow"], help="folder of the run, or several for their mean")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--shift", type=float, default=3.0)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--guided-blocks", type=int, help="from the first; all where not given")
    parser.add_argument("--guidance-limit", type=float, help="of a student that was distilled from guidance")
    parser.add_argument("--unweave", action="store_true", help="the weave is taken out of clean latents")
    parser.add_argument("--reward", type=Path, help="folder for the run's reward")
    args = parser.parse_args()
    streaming = Streaming(
        num_inference_steps=args.steps,
        flow_shift=args.shift,
        guidance_scale=args.guidance,
        guided_blocks=args.guided_blocks,
        guidance_limit=args.guidance_limit,
        unweave=args.unweave,
    )
    pack(args.folder, args.networks, args.tokenizer, args.out, streaming)
    if args.reward:
        pack_reward(args.folder, args.reward)


if __name__ == "__main__":
    main()
