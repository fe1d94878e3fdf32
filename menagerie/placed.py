"""Compare an edit with its true result where the subject is or was: PSNR at the best placement, and ghosts.

A good edit may have its subject a few pixels beside the true place. A ghost is a visible remainder of the source where
the subject has left and the true result shows the ground. A whole subject beside its true place is no ghost.
"""

from collections.abc import Iterator
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lipe_core.metrics.background import psnr

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
P = TypeVar("P", np.uint8, np.bool_)

_PLACEMENT = 3 / 128
"""Largest difference of position, as a share of the image's side."""
_DISTANT = 12 / 128
"""Largest distance of a whole subject from its true place at which it is no ghost, as a share of the image's side."""
_VISIBLE = 40
"""Least difference in one channel, in grey levels, that a person sees on one pixel beside the decoder's noise."""
_GHOST_STRENGTH = 0.3
"""Least weight of the source in a pixel of a ghost, of which the true ground has the rest."""
_MIN_PIXELS = 30
"""Ghosts are not measured on a smaller area, at 128 x 128 pixels."""


def best_placement(image: Bytes, truth: Bytes, where: Mask) -> Bytes:
    """The (size, size, 3) image, moved so that its PSNR to the truth over the pixels of `where` is highest."""
    return max(_placements(image), key=lambda moved: psnr(moved, truth, where))


def placed_psnr(image: Bytes, truth: Bytes, where: Mask) -> float:
    """The PSNR over the pixels of `where`, in dB, at the best placement of the image."""
    return psnr(best_placement(image, truth, where), truth, where)


def ghost_share(image: Bytes, source: Bytes, truth: Bytes, old: Mask, new: Mask) -> float:
    """The share of the area that the subject left in which the source is still visible, in [0, 1].

    `old` and `new` are the true silhouettes in `source` and in `truth`. Pixels near the new silhouette are not counted,
    because they may belong to a subject that is placed a little beside the truth. Nor are those near the place where
    the image is most like the true subject.
    """
    near_new = np.any([*_placements(new), *_placements(_found(image, truth, new))], axis=0)
    left = old & ~near_new
    if left.sum() < _MIN_PIXELS * (len(left) / 128) ** 2:
        return 0.0
    pixels, remainder = image.astype(np.float32), source.astype(np.float32) - truth
    visible = np.min([np.abs(pixels - ground).max(axis=2) for ground in _placements(truth)], axis=0) > _VISIBLE
    strength = ((pixels - truth) * remainder).sum(axis=2) / np.maximum((remainder**2).sum(axis=2), 1)
    return float((left & visible & (strength > _GHOST_STRENGTH)).sum() / left.sum())


def _found(image: Bytes, truth: Bytes, new: Mask) -> Mask:
    """The new silhouette, moved to where the image is most like the subject of `truth`."""
    step = max(1, len(image) // 128)  # as many places in an image of any size
    moved = zip(_placements(truth, _DISTANT, step), _placements(new, _DISTANT, step), strict=True)
    return max(moved, key=lambda pair: psnr(image, *pair))[1]


def _placements(image: npt.NDArray[P], distance: float = _PLACEMENT, step: int = 1) -> Iterator[npt.NDArray[P]]:
    """The image moved by up to `distance` of its side in each direction, in steps of `step` pixels.

    Its edge pixels are repeated.
    """
    side = len(image)
    reach = round(distance * side)
    padded = np.pad(image, [(reach, reach), (reach, reach), *[(0, 0)] * (image.ndim - 2)], mode="edge")
    for y, x in product(range(0, 2 * reach + 1, step), repeat=2):
        yield padded[y : y + side, x : x + side]
