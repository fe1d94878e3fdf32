"""Mask algebra: threshold, union, dilation, blend and composite.

LIPE, section 3.3 (https://arxiv.org/abs/2406.17236). An attention map is raw and has no scale. A mask is in [0, 1],
1 = may change. Lengths are fractions of the shorter side, so that one setting serves every resolution.
"""

from functools import reduce
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from lipe_core.shapes import Latents, Mask, PerRow, PixelMask

Threshold = float | Literal["otsu"]
"""A level in [0, 1] between a map's lowest and highest value, or "otsu": Otsu's method chooses it for each map."""


def subject_mask(maps: Mask, *, threshold: Threshold, dilation: float) -> Mask:
    """Threshold normalized attention maps and dilate the result; zeros and ones."""
    maps = min_max_normalize(maps)
    level = otsu(maps) if threshold == "otsu" else maps.new_full((len(maps),), threshold)
    return dilate((maps > rearrange(level, "b -> b 1 1 1")).to(maps), dilation)


def union(*masks: Mask) -> Mask:
    """The elementwise maximum."""
    return reduce(torch.maximum, masks)


def min_max_normalize(maps: Mask) -> Mask:
    """Scale each row to [0, 1]; a constant map becomes zeros."""
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny)


def resize(maps: Mask, size: tuple[int, int]) -> PixelMask:
    """Resize maps or masks to (height, width): area average when shrinking, bilinear when growing."""
    if size[0] <= maps.shape[2] and size[1] <= maps.shape[3]:
        return F.adaptive_avg_pool2d(maps, size)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def dilate(mask: Mask, radius: float, *, at_most: float = 1.0) -> Mask:
    """Dilate a mask of zeros and ones by a disc. The run time does not depend on the radius.

    Adds at most the share `at_most` of all pixels to a row, the nearest ones: around a silhouette with a long outline,
    a disc could add as much as the silhouette itself.
    """
    cells = _in_cells(mask, radius)
    if cells < 1:
        return mask
    outside = (mask.squeeze(1) == 0).to(torch.uint8).cpu().numpy()
    distances = np.stack([cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for plane in outside])
    limits = np.array([distance_limit(plane, cells + 0.5, at_most) for plane in distances])
    return rearrange(torch.from_numpy(distances <= limits[:, None, None]), "b h w -> b 1 h w").to(mask)


def distance_limit(distances: NDArray[np.float32], limit: float, at_most: float) -> float:
    """The largest distance up to `limit` within which at most the share `at_most` of all pixels are, besides zeros."""
    within = distances[(distances > 0) & (distances <= limit)]
    most = int(at_most * distances.size)
    return limit if len(within) <= most else float(np.nextafter(np.partition(within, most)[most], np.float32(0)))


def otsu(maps: Mask) -> PerRow:
    """The level that splits each row's values into the two classes with the largest variance between them (Otsu,
    1979)."""
    values, _ = rearrange(maps, "b 1 h w -> b (h w)").sort(dim=1)
    count = values.shape[1]
    below = torch.arange(1, count, device=maps.device, dtype=maps.dtype)
    sums = values.cumsum(dim=1)
    mean_below = sums[:, :-1] / below
    mean_above = (sums[:, -1:] - sums[:, :-1]) / (count - below)
    between = below * (count - below) * (mean_above - mean_below) ** 2
    split = between.argmax(dim=1, keepdim=True)
    return ((values.gather(1, split) + values.gather(1, split + 1)) / 2).squeeze(1)


def blend(edit: Latents, source: Latents, mask: Mask) -> Latents:
    """M * edit + (1 - M) * source; exactly the one or the other where M is 1 or 0."""
    return (mask * edit + (1 - mask) * source).where(mask > 0, source)


def composite(edit: Image.Image, source: Image.Image, mask: Image.Image) -> Image.Image:
    """Blend two images by a greyscale mask. A pixel that is black in the mask keeps the source's bytes."""
    return Image.composite(edit, source, mask)


def _in_cells(mask: Mask, fraction: float) -> int:
    """A fraction of the shorter side as a number of the mask's own rows or columns."""
    return round(fraction * min(mask.shape[2:]))
