"""Contact sheets of the world: scenes in rows, times in columns, the caption under each row.

python -m training.sheet --out FILE.png [--rows 12] [--seed 0] [--axis style] [--set scene=forest ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from training import attributes
from training.captions import caption
from training.scene import Scene, place, sample_scene, validate
from training.world import render

TIMES_S = (0.0, 0.5, 1.0, 2.0)
CAPTION_PX = 18
AXES: dict[str, tuple[str, ...]] = {
    "subject": tuple(attributes.SUBJECTS),
    "colour": attributes.COLOURS,
    "scene": attributes.BACKDROPS,
    "time_of_day": attributes.TIMES_OF_DAY,
    "weather": attributes.WEATHERS,
    "light": attributes.LIGHTS,
    "motion": attributes.MOTIONS,
    "camera": attributes.CAMERAS,
    "style": attributes.STYLES,
}
FONTS = ("NotoSansCJK-Regular.ttc", "NotoSerifCJK-Bold.ttc", "msyh.ttc", "PingFang.ttc")


def contact_sheet(
    scenes: Sequence[Scene], captions: Sequence[str], *, times_s: Sequence[float], height: int, width: int
) -> Image.Image:
    """Draw scenes at the given times (seconds), one row a scene, with its caption below."""
    times = torch.tensor([list(times_s)] * len(scenes))
    clips = render(scenes, times, height=height, width=width, device=torch.device("cpu"))
    sheet = Image.new("RGB", (width * len(times_s), (height + CAPTION_PX) * len(scenes)), "white")
    draw, font = ImageDraw.Draw(sheet), _font()
    for row, (clip, text) in enumerate(zip(clips, captions, strict=True)):
        top = row * (height + CAPTION_PX)
        for column in range(len(times_s)):
            sheet.paste(to_image(clip[:, column]), (column * width, top))
        draw.text((4, top + height), text, fill="black", font=font)
    return sheet


def to_image(frame: Tensor) -> Image.Image:
    """[3, H, W] in [-1, 1] as an 8-bit image."""
    return Image.fromarray(((frame.float() + 1.0) * 127.5).round().byte().permute(1, 2, 0).numpy())


def _along(axis: str, fixed: Mapping[str, Any], rng: random.Random) -> Iterator[Scene]:
    """A plain scene for each value of an attribute, leaving out those that the subject cannot show."""
    for value in AXES[axis]:
        scene = dataclasses.replace(Scene(), **{**fixed, axis: value})
        if not attributes.SUBJECTS[scene.subject].colours:
            scene = dataclasses.replace(scene, colour=attributes.NATURAL)
        if scene.motion in attributes.SUBJECTS[scene.subject].motions:
            yield place(scene, rng)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, 13)
        except OSError:
            continue
    return ImageFont.load_default()


def main() -> None:
    """Parse the command line and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=12, help="random scenes, without --axis")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--height", type=int, default=224)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--axis", choices=AXES, help="one row for each value of this attribute")
    parser.add_argument("--set", nargs="*", default=[], metavar="ATTRIBUTE=VALUE", help="fix attributes")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    fixed: dict[str, Any] = dict(pair.split("=") for pair in args.set)
    if "count" in fixed:
        fixed["count"] = int(fixed["count"])
    if args.axis:
        scenes = list(_along(args.axis, fixed, rng))
    else:
        scenes = [dataclasses.replace(sample_scene(rng), **fixed) for _ in range(args.rows)]
        for scene in scenes:
            validate(scene)
    texts = [caption(scene, rng) for scene in scenes]
    contact_sheet(scenes, texts, times_s=TIMES_S, height=args.height, width=args.width).save(args.out)


if __name__ == "__main__":
    main()
