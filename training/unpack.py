"""The way back: a shipped checkpoint as the start of a new run, so that training goes on on a fresh machine.

Owns the mapping of files only. Does not know training.

    python -m training.unpack --checkpoint assets/embedded --teacher training/teacher --reward training/reader \\
        --folder .train/run --tokenizer .train/tokenizer
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, UMT5EncoderModel

from training.networks import TEXT_FILE, Networks, save_networks
from training.pack import PACKED_REWARD
from training.reward import REWARD_FILE
from training.session import save
from training.vae import save_vae


def unpack(checkpoint: Path, folder: Path, teacher: Path, tokenizer: Path) -> None:
    """Write `vae.pt`, the networks and the tokenizer of a packed checkpoint.

    Args:
        checkpoint: what `training.pack` wrote; its transformer goes to `few/`.
        folder: of the new run.
        teacher: folder of the transformer that goes to `flow/`, to train on and to learn from.
        tokenizer: folder for the tokenizer.
    """
    vae = AutoencoderKLWan.from_pretrained(checkpoint / "vae")
    save_vae(vae, folder)
    text_encoder = UMT5EncoderModel.from_pretrained(checkpoint / "text_encoder")
    for name, source in (("few", checkpoint / "transformer"), ("flow", teacher)):
        held = Networks(WanTransformer3DModel.from_pretrained(source), text_encoder)
        save_networks(folder / name, held, (held.transformer.state_dict(), text_encoder.state_dict()))
    shutil.copyfile(folder / "flow" / TEXT_FILE, folder / TEXT_FILE)  # where stage 2 looks for it
    AutoTokenizer.from_pretrained(checkpoint / "tokenizer").save_pretrained(tokenizer)


def unpack_reward(source: Path, folder: Path) -> None:
    """Write `reward.pt` from what `training.pack.pack_reward` wrote."""
    states: dict[str, dict[str, Tensor]] = {}
    for name, value in load_file(source / PACKED_REWARD).items():
        part, _, key = name.partition(".")
        states.setdefault(part, {})[key] = value.half()
    save(folder / REWARD_FILE, states)


def main() -> None:
    """Unpack one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--reward", type=Path, help="folder of a reward, for stage 3b")
    args = parser.parse_args()
    unpack(args.checkpoint, args.folder, args.teacher, args.tokenizer)
    if args.reward:
        unpack_reward(args.reward, args.folder)


if __name__ == "__main__":
    main()
