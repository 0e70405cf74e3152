"""Stage 2b: a widened student takes over from its teacher how new latent channels are read and written.

Owns two slices of weights. Student and teacher have grown apart, but what a layer in the middle says of a picture has
the same meaning in both, so that a student that never saw the new channels draws them at once, a little soft.

    python -m training.graft --folder .train/wide --networks few --old 12
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel

from training.networks import by_cell, load_networks, save_networks


@torch.no_grad()
def graft(student: WanTransformer3DModel, teacher: WanTransformer3DModel, old: int) -> None:
    """Copy how channels from `old` on are read (patch embedding) and written (last projection)."""
    student.patch_embedding.weight[:, old:] = teacher.patch_embedding.weight[:, old:]
    for mine, theirs in zip(student.proj_out.parameters(), teacher.proj_out.parameters(), strict=True):
        by_cell(student, mine)[:, old:] = by_cell(teacher, theirs)[:, old:]


def main() -> None:
    """Graft `flow`'s new channels onto a network of the same run; it is overwritten."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the run: flow/ is read")
    parser.add_argument("--networks", default="few", help="folder of the run with the student")
    parser.add_argument("--old", type=int, required=True, help="channels that the student knows")
    args = parser.parse_args()
    folder: Path = args.folder / args.networks
    student = load_networks(folder, "cpu")
    graft(student.transformer, load_networks(args.folder / "flow", "cpu").transformer, args.old)
    save_networks(folder, student, (student.transformer.state_dict(), student.text_encoder.state_dict()))


if __name__ == "__main__":
    main()
