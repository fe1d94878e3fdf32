"""A silhouette to the pixel: attention says where the subject is, the picture's own edges say where it ends.

Guided Image Filtering, He, Sun and Tang, TPAMI 2013 (https://doi.org/10.1109/TPAMI.2012.213), with a colour guide.
Attention knows some 16 x 16 places; inside a small window the filter makes it a linear function of the colours there.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from lipe_core import mask as masks
from lipe_core.shapes import Mask, PixelMask, Pixels

_EDGE = 4e-3
"""The paper's epsilon, for colours in [-1, 1]: how much colours must vary in a window to count as an edge."""

_PASSES = 2
"""The second filters what the first has sharpened."""

_NEIGHBOURHOOD = 0.025
"""Of the shorter side, to each side of a pixel."""

MOST_SNAP = 0.25
"""Four of attention's places: no outline is further off, and windows cost as much as they are long."""

_WORKING_SIDE = 256
"""Pixels of a guide's shorter side: windows cost as much as it has, and attention has no more to say."""


def silhouette(maps: Mask, guide: Pixels, *, threshold: masks.Threshold, snap: float) -> PixelMask:
    """Raw attention maps cut at the threshold, at the guide's size; zeros and ones.

    `snap` is how far, as a fraction of the shorter side, an outline may move to the guide's edges; 0 = not at all.
    """
    rows, columns = guide.shape[2:]
    scale = min(1.0, _WORKING_SIDE / min(rows, columns))
    small = F.adaptive_avg_pool2d(guide, (round(rows * scale), round(columns * scale)))
    found = masks.resize(maps, (small.shape[2], small.shape[3]))
    radius = round(snap * min(small.shape[2:]))
    if radius >= 1:
        found = masks.stretch(found)
        for _ in range(_PASSES):
            found = guided_filter(small, found, radius, _EDGE).clamp(0, 1)
    return masks.subject_mask(masks.resize(found, (rows, columns)), threshold=threshold, dilation=0.0)


def differing(painted: Pixels, source: Pixels, *, tolerance: float) -> PixelMask:
    """Where two pictures' colours, in [-1, 1], differ by more than the tolerance, as the eye sees it: on the mean over
    a small neighbourhood, root mean square. Zeros and ones."""
    radius = max(1, round(_NEIGHBOURHOOD * min(source.shape[2:])))
    squares = (painted - source).square().mean(dim=1, keepdim=True)
    return (_box(squares, radius).sqrt() > tolerance).to(source)


def cells(silhouettes: PixelMask, size: tuple[int, int], coverage: float) -> Mask:
    """The latents, of this (height, width), of which a silhouette covers more than this share; zeros and ones."""
    return (masks.resize(silhouettes, size) > coverage).to(silhouettes)


def guided_filter(guide: Pixels, maps: PixelMask, radius: int, epsilon: float) -> PixelMask:
    """Equations 19 to 21: maps smoothed over windows of 2 * radius + 1 pixels, but not across the guide's edges."""
    mean, mean_maps = _box(guide, radius), _box(maps, radius)
    covariance = _box(guide * maps, radius) - mean * mean_maps
    products = rearrange(guide[:, :, None] * guide[:, None], "b i j H W -> b (i j) H W")
    spread = rearrange(_box(products, radius), "b (i j) H W -> b H W i j", i=3)
    spread = spread - rearrange(mean[:, :, None] * mean[:, None], "b i j H W -> b H W i j")
    identity = torch.eye(3, dtype=guide.dtype, device=guide.device)
    slope = torch.linalg.solve(spread + epsilon * identity, rearrange(covariance, "b i H W -> b H W i 1"))
    slope = rearrange(slope, "b H W i 1 -> b i H W")
    offset = mean_maps - (slope * mean).sum(dim=1, keepdim=True)
    return (_box(slope, radius) * guide).sum(dim=1, keepdim=True) + _box(offset, radius)


def _box(planes: Tensor, radius: int) -> Tensor:
    """Means over square windows, a row of them and then a column."""
    planes = F.avg_pool2d(F.pad(planes, (radius, radius, 0, 0), mode="replicate"), (1, 2 * radius + 1), stride=1)
    return F.avg_pool2d(F.pad(planes, (0, 0, radius, radius), mode="replicate"), (2 * radius + 1, 1), stride=1)
