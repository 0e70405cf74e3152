"""`python -m bench.stills`: the small pictures of the page, made by the real walk: one an example, one a style.

Owns which frame is shown and how small it gets. Which file belongs to what is `styles.pictures`'; a file that belongs
to nothing any more is deleted. Run it again whenever the weights, the styles or the examples change.
"""

from __future__ import annotations

import argparse
import io
import logging
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

import styles
from pipeline import Model, VideoRequest, generate, load_model
from styles.pictures import SUBJECT_ZH

OUT = Path(__file__).resolve().parents[1] / "assets" / "stills"
MAX_BYTES = 600_000
WIDTH, HEIGHT = 320, 180
FRAME = 12
"""Which frame is shown: the last of the second block, so that what a later block does to a picture is seen too."""
QUALITIES = (86, 80, 72, 64, 54)

_LOG = logging.getLogger(__name__)


def main() -> None:
    """Make them all, then write them, so that a run that fails leaves the old ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: assets/stills)")
    parser.add_argument("--model", help="hub id or folder (default: the embedded model)")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    model = load_model(options.model, backend=options.backend)
    pictures: dict[str, Image.Image] = {}
    for name, request in wanted(options.seed):
        pictures[name] = still(request, model)
        _LOG.info("%s  %s  %s", name, request.style, request.prompt)
    total = write(pictures, options.out)
    _LOG.info("%d pictures, %d bytes, in %s", len(pictures), total, options.out)


def wanted(seed: int) -> Iterator[tuple[str, VideoRequest]]:
    """File name and request of every picture: the examples with their own settings, then the styles."""
    known = styles.load_styles()
    for example in styles.load_examples():
        asked = {**example.settings, "prompt": example.prompt_zh, "style": example.style, "seed": seed}
        yield styles.example_picture(example, known.get(example.style)), VideoRequest.from_mapping(asked)
    for style in known.values():
        yield styles.style_picture(style), VideoRequest(prompt=SUBJECT_ZH, style=style.name, seconds=2, seed=seed)


def still(request: VideoRequest, model: Model) -> Image.Image:
    """Frame `FRAME` of a clip; the clip is not made further."""
    frames = generate(request, model)
    try:
        for made in frames:
            if made.index + len(made.pixels) > FRAME:
                return Image.fromarray(made.pixels[FRAME - made.index])
    finally:
        frames.close()
    raise ValueError(f"the clip has no frame {FRAME}")


def write(pictures: dict[str, Image.Image], folder: Path) -> int:
    """Write all as WebP of the best quality at which they stay under `MAX_BYTES`; gives their bytes together.

    Raises:
        ValueError: they do not at any quality.
    """
    small = {name: _small(picture) for name, picture in pictures.items()}
    encoded = _encoded(small)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.webp"):
        if path.name not in encoded:
            path.unlink()
    for name, data in encoded.items():
        (folder / name).write_bytes(data)
    return sum(map(len, encoded.values()))


def _encoded(pictures: dict[str, Image.Image]) -> dict[str, bytes]:
    total = 0
    for quality in QUALITIES:
        encoded = {name: _webp(picture, quality) for name, picture in pictures.items()}
        total = sum(map(len, encoded.values()))
        if total < MAX_BYTES:
            return encoded
    raise ValueError(f"{total} bytes at the lowest quality; at most {MAX_BYTES}")


def _small(picture: Image.Image) -> Image.Image:
    return ImageOps.fit(picture, (WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _webp(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=6)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
