"""The part of a photo that is edited: a crop around the subject, so that a small one gets the network's resolution.

A network works at about the area that it was trained on, one megapixel for SDXL. In a photo of 12 megapixels, a face
that fills a tenth of the width would be some 100 pixels wide there, or 13 latents.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from lipe_core.shapes import Size

_ROOM = 0.5
"""Fraction of the subject's longer side that a crop leaves on each side of it, because the subject will move."""

_GAIN = 1.5
"""A crop is used if the image has at least this many times its area. Below that, the whole image is nearly as sharp."""


_SNAP = 0.1
"""A crop takes the network's shape if no side changes by more than this fraction. The subject has room of half its
longer side, so that it stays inside."""


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        """The (height, width)."""
        return self.height, self.width

    def cut(self, image: Image.Image) -> Image.Image:
        """This part of the image; the same object if it is the whole image."""
        is_whole = (image.height, image.width) == self.size
        return image if is_whole else image.crop((self.left, self.top, self.left + self.width, self.top + self.height))

    def paste(self, part: Image.Image, image: Image.Image) -> Image.Image:
        """A copy of the image with `part` in this place; `part` itself if it is the whole image."""
        if image.size == part.size:
            return part
        pasted = image.copy()
        pasted.paste(part, (self.left, self.top))
        return pasted


def whole(size: Size) -> Box:
    """The whole image."""
    return Box(0, 0, *size)


def around(mask: Image.Image) -> Box | None:
    """The smallest box with all white pixels of a greyscale mask, or None without any."""
    found = np.array(mask.convert("L")) > 127
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    if not len(rows):
        return None
    return Box(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)


def crop_around(subject: Box, image: Size, native_area: int) -> Box:
    """The part of an image of this size that is edited: the subject with room to move, or the whole image.

    A crop has at least the native area, so that it is never enlarged for the network.
    """
    room = round(_ROOM * max(subject.size))
    height, width = (min(side + 2 * room, limit) for side, limit in zip(subject.size, image, strict=True))
    if height * width < native_area:
        scale = math.sqrt(native_area / (height * width))
        height = min(math.ceil(height * scale), image[0])
        width = min(math.ceil(max(width * scale, native_area / height)), image[1])
        height = min(math.ceil(max(height, native_area / width)), image[0])
    if image[0] * image[1] < _GAIN * height * width:
        return whole(image)
    top = subject.top + subject.height // 2 - height // 2
    left = subject.left + subject.width // 2 - width // 2
    return Box(min(max(top, 0), image[0] - height), min(max(left, 0), image[1] - width), height, width)


def snapped(crop: Box, shape: Size, image: Size) -> Box:
    """The crop with exactly this shape around the same centre, if that changes its sides by little and fits the image.

    An edit of such a crop needs no scaling: the network works on the photo's own pixels.
    """
    sides = zip(shape, crop.size, image, strict=True)
    if any(abs(wanted - side) > _SNAP * side or wanted > limit for wanted, side, limit in sides):
        return crop
    top, left = crop.top + (crop.height - shape[0]) // 2, crop.left + (crop.width - shape[1]) // 2
    return Box(min(max(top, 0), image[0] - shape[0]), min(max(left, 0), image[1] - shape[1]), *shape)
