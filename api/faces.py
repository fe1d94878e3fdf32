"""Human faces in an image: a subject that shows one needs consent, whatever its class noun is.

The detector is the cascade of local binary patterns that scikit-image ships. docs/consent.md says how often it misses.
"""

from functools import cache
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from skimage.feature import Cascade

MAX_SIDE = 320
"""Faces are searched in an image that was reduced to this size, in pixels."""
SMALLEST = 8
"""The smallest face that is searched has this part of the shorter side: a subject is not smaller."""
TRAINED_SIDE = 24
SCALE = 1.1
NEIGHBORS = 8
"""A face is found at so many neighbouring places at least. benchmarks/face_rates.py shows what other numbers give."""


def count_faces(image: Image.Image) -> int:
    """The number of upright, frontal human faces in an RGB image."""
    import numpy as np

    small = image.copy()
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    pixels = np.asarray(small.convert("RGB"))
    shorter = min(pixels.shape[:2])
    smallest = max(TRAINED_SIDE, shorter // SMALLEST)
    if shorter <= smallest:
        return 0
    found = detector().detect_multi_scale(
        pixels,
        scale_factor=SCALE,
        step_ratio=1,
        min_size=(smallest, smallest),
        max_size=(shorter, shorter),
        min_neighbor_number=NEIGHBORS,
    )
    return len(found)


@cache
def detector() -> "Cascade":
    """The detector, loaded once in a process."""
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
