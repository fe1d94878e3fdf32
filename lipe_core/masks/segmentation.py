"""A silhouette to the pixel: attention says where the subject is, the picture's own colours say where it ends.

Guided Image Filtering, He, Sun and Tang, TPAMI 2013 (https://doi.org/10.1109/TPAMI.2012.213), with a colour guide.
Attention knows some 16 x 16 places; inside a small window the filter makes it a linear function of the colours there.

GrabCut, Rother, Kolmogorov and Blake, SIGGRAPH 2004 (https://doi.org/10.1145/1015706.1015720), behind it, for a
finished picture: which colours are the subject's and which the background's, and the shortest border between them.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from lipe_core.masks import mask_ops
from lipe_core.pixels import to_images
from lipe_core.shapes import Mask, PixelMask, Pixels

_EDGE = 4e-3
"""The paper's epsilon, for colours in [-1, 1]: how much colours must vary in a window to count as an edge."""

_PASSES = 2
"""The second filters what the first has sharpened."""

_NEIGHBOURHOOD = 0.025
"""Of the shorter side, to each side of a pixel."""

_LIKELY = 0.5
_SURE = 0.75
"""What GrabCut starts from: where a filtered map, stretched to [0, 1], is above this, the subject is likely or sure."""

_RIM = 0.03
"""Of the shorter side: nothing is sure this near to where it is not."""

_REACH = 0.09
"""Of the shorter side: how far from where it is likely GrabCut may find the subject."""

MOST_SNAP = 0.25
"""Four of attention's places: no outline is further off, and windows cost as much as they are long."""

_WORKING_SIDE = 256
"""Pixels of a guide's shorter side: windows cost as much as it has, and attention has no more to say."""


def silhouette(
    maps: Mask, guide: Pixels, *, threshold: mask_ops.Threshold, snap: float, grabcut_rounds: int = 0
) -> PixelMask:
    """Raw attention maps cut at the threshold, at the guide's size; zeros and ones.

    `snap` is how far, as a fraction of the shorter side, an outline may move to the guide's edges; 0 = not at all.
    With `grabcut_rounds` it is GrabCut that cuts, not the threshold.
    """
    rows, columns = guide.shape[2:]
    scale = min(1.0, _WORKING_SIDE / min(rows, columns))
    small = F.adaptive_avg_pool2d(guide, (round(rows * scale), round(columns * scale)))
    found = mask_ops.resize(maps, (small.shape[2], small.shape[3]))
    radius = round(snap * min(small.shape[2:]))
    if radius >= 1:
        found = mask_ops.min_max_normalize(found)
        for _ in range(_PASSES):
            found = guided_filter(small, found, radius, _EDGE).clamp(0, 1)
    if grabcut_rounds:
        return cells(grabcut(small, mask_ops.min_max_normalize(found), grabcut_rounds), (rows, columns), 0.5)
    return mask_ops.subject_mask(mask_ops.resize(found, (rows, columns)), threshold=threshold, dilation=0.0)


def moved(old: PixelMask, new: PixelMask, *, opening: float, halo: float) -> tuple[PixelMask, PixelMask]:
    """Where a subject arrived and where it left. Lengths are fractions of the shorter side.

    What is thinner than twice `opening` did not move: outlines are found, and painted, that inexactly. Where it left,
    its edge went along, which blends into what is around it over `halo`.
    """
    arrived = mask_ops.opened(new * (1 - old), opening)
    left = mask_ops.dilate(mask_ops.opened(old * (1 - new), opening), halo)
    return arrived, left


def differing(painted: Pixels, source: Pixels, *, tolerance: float) -> PixelMask:
    """Where two pictures' colours, in [-1, 1], differ by more than the tolerance, as the eye sees it: on the mean over
    a small neighbourhood, root mean square. Zeros and ones."""
    radius = max(1, round(_NEIGHBOURHOOD * min(source.shape[2:])))
    squares = (painted - source).square().mean(dim=1, keepdim=True)
    return (_box(squares, radius).sqrt() > tolerance).to(source)


def cells(silhouettes: PixelMask, size: tuple[int, int], coverage: float) -> Mask:
    """The latents, of this (height, width), of which a silhouette covers more than this share; zeros and ones."""
    return (mask_ops.resize(silhouettes, size) > coverage).to(silhouettes)


def grabcut(guide: Pixels, maps: PixelMask, rounds: int) -> PixelMask:
    """Where the subject is, row by row, from maps in [0, 1] of the guide's size; zeros and ones."""
    likely = (maps > _LIKELY).to(maps)
    sure = 1 - mask_ops.dilate((maps <= _SURE).to(maps), _RIM)
    labels = torch.full_like(maps, cv2.GC_BGD)
    labels[mask_ops.dilate(likely, _REACH) > 0] = cv2.GC_PR_BGD
    labels[likely > 0] = cv2.GC_PR_FGD
    labels[sure > 0] = cv2.GC_FGD
    planes = labels.squeeze(1).to(torch.uint8).cpu().numpy()
    for picture, plane in zip(to_images(guide), planes, strict=True):
        subjects = np.isin(plane, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if subjects.any() and not subjects.all():  # it learns both kinds' colours
            cv2.setRNGSeed(0)  # its clusters start at random
            background, subject = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.grabCut(np.array(picture), plane, (0, 0, 0, 0), background, subject, rounds, cv2.GC_INIT_WITH_MASK)
    found = np.isin(planes, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return rearrange(torch.from_numpy(found), "b H W -> b 1 H W").to(maps)


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
