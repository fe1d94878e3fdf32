"""How well the warning `unlike_the_base_model` separates photos from drawings, for docs/warnings.md.

    python -m benchmarks.warning_rates FOLDER --drawings 300

FOLDER has photos. Each is measured as a whole, cropped to a square, and in up to four smaller squares.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lipe_core import sdxl
from lipe_core.metrics.color import VISIBLE
from menagerie.draw import render
from menagerie.models import CHECKPOINT
from menagerie.pool import drawing_of

SEED = 987654
SMALLEST_CROP = 100
Changes = NDArray[np.float64]


def main() -> None:
    """Print both distributions and how well the limit separates them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the photos")
    parser.add_argument("--drawings", type=int, default=300)
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    arguments = parser.parse_args()
    model = sdxl.load(arguments.checkpoint, device=torch.device("cpu"), dtype=torch.float32)

    def measure(images: Sequence[Image.Image]) -> Changes:
        return np.array([sdxl.color_change(model, image) for image in images])

    files = sorted(file for file in arguments.folder.iterdir() if file.suffix.lower() in {".jpg", ".jpeg", ".png"})
    photos = measure([crop for file in files for crop in squares(Image.open(file).convert("RGB"), model.native_size)])
    drawings = measure(
        [Image.fromarray(render(drawing_of(SEED, k), model.native_size)) for k in range(arguments.drawings)]
    )
    for name, changes in (("drawings", drawings), ("photos", photos)):
        lowest, median, highest = np.quantile(changes, (0, 0.5, 1))
        print(f"{name}: {len(changes)}, smallest {lowest:.1f}, median {median:.1f}, largest {highest:.1f}, ", end="")
        print(f"{(changes > VISIBLE).sum()} with the warning")
    print(f"area under the ROC curve: {area_under_curve(photos, drawings):.4f}")


def squares(photo: Image.Image, side: int) -> Iterator[Image.Image]:
    """The centre of the photo, and squares of a half and a quarter of its shorter side, all `side` pixels wide."""
    yield ImageOps.fit(photo, (side, side), Image.Resampling.LANCZOS)
    for part in (2, 4):
        width = min(photo.size) // part
        for place in (0.25, 0.75) if width >= SMALLEST_CROP else ():
            left, top = int(place * (photo.width - width)), (photo.height - width) // 2
            crop = photo.crop((left, top, left + width, top + width))
            yield crop.resize((side, side), Image.Resampling.LANCZOS)


def area_under_curve(positive: Changes, negative: Changes) -> float:
    """The probability that a positive value is larger than a negative one; equal values count half."""
    difference = positive[:, None] - negative[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


if __name__ == "__main__":
    main()
