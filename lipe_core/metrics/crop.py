"""Crops of the subject, so that a judge network ignores the background."""

import numpy as np
from PIL import Image


def subject_crop(image: Image.Image, mask: Image.Image, margin: float = 0.1) -> Image.Image:
    """The square around the white part of the mask, enlarged by `margin` of its longer side on each side.

    A square keeps the subject's shape in the judges' square input. It is shifted into the image if it exceeds an edge,
    and cut if it is larger than the image. An empty mask gives the whole image. Raises ValueError if mask and image
    differ in size.
    """
    if mask.size != image.size:
        raise ValueError(f"the mask must have the image's size {image.size}, it has {mask.size}")
    rows, columns = np.nonzero(np.asarray(mask.convert("L")) > 127)
    if not len(rows):
        return image
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    side = round(max(bottom - top, right - left) * (1 + 2 * margin))
    x, width = _span(int(left), int(right), side, image.width)
    y, height = _span(int(top), int(bottom), side, image.height)
    return image.crop((x, y, x + width, y + height))


def _span(start: int, end: int, side: int, limit: int) -> tuple[int, int]:
    """Start and length of a span of `side` pixels centred on [start, end), shifted into [0, limit)."""
    length = min(side, limit)
    return min(max((start + end - length) // 2, 0), limit - length), length
