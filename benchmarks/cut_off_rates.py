"""How often `cut_off` of a found mask is right, on drawings whose true silhouette is known, for docs/warnings.md.

    python -m benchmarks.cut_off_rates --subjects 100

Each drawing is measured as it is, and once cropped so that a side of the frame cuts off a part of the subject: between
a tenth and a third of its width or height. The crops go through all four sides.
"""

import argparse
from collections import Counter
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lipe_core import sdxl
from lipe_core.masks.border import Side, cut_off_sides
from lipe_core.methods.nima.find import find_subject
from lipe_core.pixels import to_mask
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from menagerie.draw import mask, render
from menagerie.models import CHECKPOINT
from menagerie.subjects import TOKEN, fresh

SEED = 271828
SIDES: tuple[Side, ...] = get_args(Side)
Box = tuple[int, int, int, int]


def main() -> None:
    """Print how many sides are reported rightly, wrongly and not at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=100)
    parser.add_argument("--checkpoint", default=str(CHECKPOINT))
    arguments = parser.parse_args()
    model = sdxl.load(arguments.checkpoint, device=torch.device("cpu"), dtype=torch.float32)
    counts = Counter[str]()
    for number, subject in enumerate(fresh(arguments.subjects, SEED)):
        rng = np.random.default_rng([SEED, number])
        image, silhouette = Image.fromarray(render(subject.test)), mask(subject.test)
        name = Subject(TOKEN, subject.identity.class_noun)
        box = cutting_box(silhouette, SIDES[number % len(SIDES)], rng.uniform(0.1, 1 / 3))
        crop = image.crop(box).resize(image.size, Image.Resampling.LANCZOS)
        left, top, right, bottom = box
        for kind, shown, truth in (
            ("whole", image, silhouette),
            ("cropped", crop, silhouette[top:bottom, left:right]),
        ):
            counts += compare(kind, found_sides(model, shown, name), true_sides(truth))
    for line in sorted(counts):
        print(f"{line}: {counts[line]}")


def found_sides(model: BaseModel, image: Image.Image, subject: Subject) -> set[Side]:
    """The sides that the service reports."""
    found = find_subject(model, image, subject, f"a photo of {subject.phrase}")
    return set(cut_off_sides(to_mask(found)))


def true_sides(silhouette: NDArray[np.bool_]) -> set[Side]:
    """The sides that the true silhouette covers enough of."""
    return set(cut_off_sides(torch.from_numpy(silhouette).float()[None, None]))


def cutting_box(silhouette: NDArray[np.bool_], side: Side, share: float) -> Box:
    """The largest part of the image that lacks a share of the subject's extent at this side."""
    rows, columns = (np.flatnonzero(silhouette.any(axis=axis)) for axis in (1, 0))
    (top, bottom), (left, right) = ((int(line[0]), int(line[-1]) + 1) for line in (rows, columns))
    height, width = silhouette.shape
    taken_x, taken_y = round(share * (right - left)), round(share * (bottom - top))
    boxes: dict[Side, Box] = {
        "left": (left + taken_x, 0, width, height),
        "top": (0, top + taken_y, width, height),
        "right": (0, 0, right - taken_x, height),
        "bottom": (0, 0, width, bottom - taken_y),
    }
    return boxes[side]


def compare(kind: str, found: set[Side], truth: set[Side]) -> Counter[str]:
    """The images and sides of one image, by whether the sides are right."""
    counts = Counter[str]()
    counts[f"{kind}: images"] += 1
    counts[f"{kind}: images with a wrong side"] += bool(found - truth)
    counts[f"{kind}: sides cut off"] += len(truth)
    counts[f"{kind}: sides cut off and found"] += len(truth & found)
    counts[f"{kind}: sides not cut off"] += len(SIDES) - len(truth)
    counts[f"{kind}: sides not cut off but reported"] += len(found - truth)
    return counts


if __name__ == "__main__":
    main()
