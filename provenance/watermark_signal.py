"""Signal processing of the watermark: waves over an image's pixels, and the copy of an image that detection reads."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.float32]
Complexes: TypeAlias = NDArray[np.complex64]
SIDE = 512
"""The longer side of the copy that detection reads, in pixels."""
SMALLEST = 64


def rows(highest: int) -> Floats:
    """Frequencies along the rows' axis, in cycles per period: negative ones first."""
    return np.arange(-highest, highest + 1, dtype=np.float32)


def columns(highest: int) -> Floats:
    """Frequencies along the columns' axis: none is negative, because the other half of the plane mirrors this one."""
    return np.arange(highest + 1, dtype=np.float32)


def ring(lowest: int, highest: int) -> NDArray[np.bool_]:
    """The frequencies between two magnitudes, in half of the plane: (`rows`, `columns`)."""
    down, across = rows(highest)[:, None], columns(highest)[None]
    radius, is_mirrored = np.hypot(down, across), (across == 0) & (down < 0)
    return np.asarray((radius >= lowest) & (radius <= highest) & ~is_mirrored)


def waves(length: int, period: float, frequencies: Floats, start: int = 0) -> Complexes:
    """One wave for each frequency, in a row for each pixel: (length, frequencies)."""
    places = (np.arange(start, start + length) + 0.5) / period
    return np.asarray(np.exp(2j * np.pi * places[:, None] * frequencies), np.complex64)


def box(values: Floats, radius: int) -> Floats:
    """Means over squares of 2 `radius` + 1 pixels, with the border repeated."""
    side = 2 * radius + 1
    for axis in (0, 1):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(values, widths, mode="edge"), axis=axis, dtype=np.float64)
        first = np.arange(values.shape[axis])
        values = ((np.take(sums, first + side, axis) - np.take(sums, first, axis)) / side).astype(np.float32)
    return values


def working_copy(image: Image.Image) -> Floats:
    """The brightness of the image, with SIDE pixels along its longer side."""
    width, height = (max(SMALLEST, round(length * SIDE / max(image.size))) for length in image.size)
    return np.asarray(image.convert("L").resize((width, height), Image.Resampling.BICUBIC), np.float32)


def whitened(gray: Floats) -> Floats:
    """The image without its low frequencies, with about the same energy everywhere."""
    detail = gray - box(gray, 6)
    energy = np.sqrt(box(detail * detail, 6))
    return np.clip(detail / (energy + 1.5), -3, 3)
