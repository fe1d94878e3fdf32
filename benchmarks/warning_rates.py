"""How well the measures of two warnings separate what they should, for docs/warnings.md.

    python -m benchmarks.warning_rates FOLDER --drawings 300 --subjects 70

`unlike_the_base_model`: photos and drawings. FOLDER has the photos. Each is measured as a whole, cropped to a square,
and in up to four smaller squares. `subject_not_found`: drawings with the subject's class, with another one, and without
a subject.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lipe_core import sdxl
from lipe_core.masks.presence import class_presence
from lipe_core.metrics.color import VISIBLE
from lipe_core.sdxl import BaseModel
from menagerie.draw import render, render_ground
from menagerie.models import CHECKPOINT
from menagerie.pool import drawing_of
from worker.job_warnings import LEAST_PRESENCE

SEED, SUBJECTS_SEED = 987654, 555
SMALLEST_CROP = 100
Changes = NDArray[np.float64]


def main() -> None:
    """Print both distributions and how well the limit separates them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the photos")
    parser.add_argument("--drawings", type=int, default=300)
    parser.add_argument("--subjects", type=int, default=70)
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
    for name, presences in measure_presences(model, arguments.subjects).items():
        lowest, median, highest = np.quantile(presences, (0, 0.5, 1))
        print(f"{name}: {len(presences)}, smallest {lowest:.1f}, median {median:.1f}, largest {highest:.1f}, ", end="")
        print(f"{(presences <= LEAST_PRESENCE).mean():.0%} with the warning")


def measure_presences(model: BaseModel, count: int) -> dict[str, Changes]:
    """The presence of a drawing's class in it, in the next drawing of another kind, and in its scene alone."""
    drawings = [drawing_of(SUBJECTS_SEED, k) for k in range(3 * count)]
    found: dict[str, list[float]] = {"the class": [], "another class": [], "no subject": []}
    for number, drawing in enumerate(drawings[:count]):
        kind = drawing.identity.kind
        other = next(later for later in drawings[number:] if later.identity.kind != kind)
        images = (render(drawing), render(other), render_ground(drawing))
        for name, image in zip(found, images, strict=True):
            latents = sdxl.encode_image(model, [sdxl.at_native_shape(model, Image.fromarray(image))])
            found[name].append(float(class_presence(model, latents, drawing.identity.class_noun)))
    return {name: np.array(presences) for name, presences in found.items()}


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
