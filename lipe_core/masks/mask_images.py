"""Masks as greyscale images of the size of a photo.

A photo has up to 50 million pixels, so a mask becomes one plane of bytes, and the only plane of floating-point numbers
is that of the distances. A soft edge is a function of the distance to the mask: its run time does not depend on its
width.
"""

import math

import cv2
import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from lipe_core.masks.mask_ops import distance_limit
from lipe_core.shapes import Mask, PixelMask, Size

MIDDLE = 127
"""The last grey level that counts as black."""

_STRIP = 256
"""Rows of a plane that one step works on, so that its temporary arrays stay small."""


_MOST_MASK = 0.53
"""Share of all pixels that a mask may have with its soft edge before the edge becomes narrower."""

_MOST_EDGE = 0.15
"""Share of all pixels that a soft edge touches at most, as `_MOST_MARGIN` of NIMA's masks: both add up to a quarter."""


def soft_mask_image(
    mask: Mask | PixelMask, size: Size, radius: float, bounds: Image.Image | None = None
) -> Image.Image:
    """Scale a batch of one mask to (height, width) with soft edges: 255 inside, 0 beyond twice the radius.

    The radius is a fraction of the shorter side. Across a straight edge, the levels are those of the mask dilated by
    the radius and blurred by a Gaussian that reaches the radius to both sides. A soft edge that would touch more than
    the share _MOST_EDGE of all pixels is narrower, unless the radius itself is large. With `bounds` of the same size,
    the mask is 0 where they are black, to the pixel, and its soft edge ends there.
    """
    grey = _scaled(_bytes(mask), size, cv2.INTER_NEAREST)
    reach = 2.0 * round(radius * min(size))
    if reach > 0:
        distances = cv2.distanceTransform((grey == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        touched = float(np.nextafter(np.float32(reach), np.float32(0)))  # at the reach itself, the level is 0
        most = max(_MOST_EDGE, 4 * radius, _MOST_MASK - float((distances == 0).mean()))
        narrowed = distance_limit(distances, touched, most)
        reach = reach if narrowed == touched else narrowed
        levels = _levels()
        for first in range(0, size[0], _STRIP):
            rows = slice(first, first + _STRIP)
            share = np.minimum(distances[rows] * (255 / reach), 255).astype(np.uint8)
            np.maximum(grey[rows], levels[share], out=grey[rows])
    return Image.fromarray(grey if bounds is None else np.minimum(grey, _soft_bounds(bounds, radius)))


def hard_mask_image(mask: PixelMask, size: Size) -> Image.Image:
    """Scale a batch of one mask to (height, width); each pixel is black or white, whichever is nearer."""
    plane = _bytes(mask)
    grows = size[0] > plane.shape[0] or size[1] > plane.shape[1]
    grey = _scaled(plane, size, cv2.INTER_LINEAR if grows else cv2.INTER_AREA)
    return Image.fromarray(cv2.threshold(grey, 127, 255, cv2.THRESH_BINARY, dst=grey)[1])


def _bytes(mask: Mask | PixelMask) -> NDArray[np.uint8]:
    plane = rearrange(mask, "1 1 h w -> h w").float().clamp(0, 1).mul(255).round()
    return plane.cpu().numpy().astype(np.uint8)


def _scaled(plane: NDArray[np.uint8], size: Size, interpolation: int) -> NDArray[np.uint8]:
    height, width = size
    scaled: NDArray[np.uint8] = np.asarray(cv2.resize(plane, (width, height), interpolation=interpolation), np.uint8)
    return scaled


def _levels() -> NDArray[np.uint8]:
    """The grey level for each 1/255 of the reach: 255 at the mask, 0 at the end, half in the middle."""
    ends = math.erf(math.sqrt(2))  # the Gaussian is cut off at two standard deviations
    falloff = [(math.erf(math.sqrt(2) * (1 - 2 * step / 255)) / ends + 1) / 2 for step in range(256)]
    return (np.array(falloff) * 255).round().astype(np.uint8)


def _soft_bounds(bounds: Image.Image, radius: float) -> NDArray[np.uint8]:
    """The levels that a mask may have inside `bounds`: 0 in their black part, 255 from twice the radius on inside."""
    inside = (np.asarray(bounds.convert("L")) > MIDDLE).astype(np.uint8)
    reach = 2.0 * round(radius * min(inside.shape))
    if reach == 0:
        return inside * np.uint8(255)
    distances = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    levels: NDArray[np.uint8] = 255 - _levels()[np.minimum(distances * (255 / reach), 255).astype(np.uint8)]
    return levels * inside
