"""Contact sheets: strips of measured clips with their prompts, as small JPEGs to look at.

Owns the layout only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROWS = 10
_TEXT_HEIGHT = 18
_FONTS = ("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "wqy-microhei.ttc", "msyh.ttc", "PingFang.ttc")


def write_sheets(folder: Path, name: str, strips: Sequence[tuple[str, Image.Image]]) -> list[Path]:
    """Ten strips a sheet, each with its text above: `name`-0.jpg, `name`-1.jpg, …"""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for number in range(-(-len(strips) // ROWS)):
        some = strips[number * ROWS : (number + 1) * ROWS]
        width, height = some[0][1].size
        sheet = Image.new("RGB", (width, (height + _TEXT_HEIGHT) * len(some)), "white")
        draw = ImageDraw.Draw(sheet)
        for row, (text, strip) in enumerate(some):
            top = row * (height + _TEXT_HEIGHT)
            draw.text((3, top + 1), text, fill="black", font=_font())
            sheet.paste(strip, (0, top + _TEXT_HEIGHT))
        made.append(folder / f"{name}-{number}.jpg")
        sheet.save(made[-1], quality=82)
    return made


def write_grid(path: Path, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> None:
    """Rows of single pictures with a name above each column and a text above each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = rows[0][1][0].size
    grid = Image.new("RGB", (width * len(columns), _TEXT_HEIGHT + (height + _TEXT_HEIGHT) * len(rows)), "white")
    draw = ImageDraw.Draw(grid)
    for column, text in enumerate(columns):
        draw.text((column * width + 3, 1), text, fill="black", font=_font())
    for row, (text, pictures) in enumerate(rows):
        top = _TEXT_HEIGHT + row * (height + _TEXT_HEIGHT)
        draw.text((3, top + 1), text, fill="black", font=_font())
        for column, picture in enumerate(pictures):
            grid.paste(picture, (column * width, top + _TEXT_HEIGHT))
    grid.save(path, quality=82)


def one_of(strip: Image.Image, number: int, count: int) -> Image.Image:
    """One picture of a strip of `count`."""
    width = strip.width // count
    return strip.crop((number * width, 0, (number + 1) * width, strip.height))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, 13)
        except OSError:
            continue
    return ImageFont.load_default()
