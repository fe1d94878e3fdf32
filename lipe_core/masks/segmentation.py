"""Silhouettes to the pixel: attention finds the subject, the image's colors find its outline.

Guided Image Filtering, He, Sun and Tang, TPAMI 2013 (https://doi.org/10.1109/TPAMI.2012.213), with a color guide.
An attention map has some 16 x 16 cells; inside a small window the filter makes it a linear function of the colors.

GrabCut, Rother, Kolmogorov and Blake, SIGGRAPH 2004 (https://doi.org/10.1145/1015706.1015720), runs after the filter
on finished images: it learns the colors of subject and background and finds the shortest border between them.
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

_EDGE_VARIANCE = 4e-3
"""The paper's epsilon, for colors in [-1, 1]: the variance of the colors in a window that counts as an edge."""

_FILTER_PASSES = 2
"""The second pass filters the sharpened result of the first."""

_NEIGHBORHOOD = 0.025
"""Radius of the windows over which `color_difference_mask` averages, as a fraction of the shorter side."""

_LIKELY = 0.5
_SURE = 0.75
"""GrabCut's start: above these values of a filtered map, normalized to [0, 1], the subject is likely or sure."""

_UNSURE_RIM = 0.03
"""Fraction of the shorter side: no pixel is sure this near to a pixel that is not."""

_GRABCUT_REACH = 0.09
"""Fraction of the shorter side: how far from a likely pixel GrabCut may find the subject."""

MOST_SNAP = 0.25
"""Largest `snap`: four cells of an attention map. No outline is further off, and larger windows cost more time."""

_WORKING_SIDE = 256
"""Largest shorter side, in pixels, of the image that guides the filter: its cost grows with the image, and attention
has no finer detail."""


def silhouette(
    maps: Mask, images: Pixels, *, threshold: mask_ops.Threshold, snap: float, grabcut_rounds: int = 0
) -> PixelMask:
    """Threshold raw attention maps and fit their outlines to the images; zeros and ones, of the images' size.

    `snap` is how far an outline may move to an edge in the image, as a fraction of the shorter side; 0 leaves it where
    it is. With `grabcut_rounds`, GrabCut replaces the threshold.
    """
    rows, columns = images.shape[2:]
    scale = min(1.0, _WORKING_SIDE / min(rows, columns))
    guide = F.adaptive_avg_pool2d(images, (round(rows * scale), round(columns * scale)))
    found = mask_ops.resize(maps, (guide.shape[2], guide.shape[3]))
    radius = round(snap * min(guide.shape[2:]))
    if radius >= 1:
        found = mask_ops.min_max_normalize(found)
        for _ in range(_FILTER_PASSES):
            found = guided_filter(guide, found, radius, _EDGE_VARIANCE).clamp(0, 1)
    if grabcut_rounds:
        cut = grabcut(guide, mask_ops.min_max_normalize(found), grabcut_rounds)
        return (mask_ops.resize(cut, (rows, columns)) > 0.5).to(cut)
    return mask_ops.subject_mask(mask_ops.resize(found, (rows, columns)), threshold=threshold, dilation=0.0)


def changed_regions(old: PixelMask, new: PixelMask, *, opening: float, halo: float) -> tuple[PixelMask, PixelMask]:
    """The regions that a subject entered and left, from its old and new silhouette.

    Lengths are fractions of the shorter side. Parts thinner than twice `opening` are dropped: silhouettes are no more
    exact than that. The region that the subject left grows by `halo`, because its edge blends into the surroundings.
    """
    entered = mask_ops.morphological_opening(new * (1 - old), opening)
    left = mask_ops.dilate(mask_ops.morphological_opening(old * (1 - new), opening), halo)
    return entered, left


def color_difference_mask(generated: Pixels, source: Pixels, *, tolerance: float) -> PixelMask:
    """Ones where the colors of two images, in [-1, 1], differ by more than the tolerance, zeros elsewhere.

    The difference is the root mean square over a small neighborhood.
    """
    radius = max(1, round(_NEIGHBORHOOD * min(source.shape[2:])))
    squares = (generated - source).square().mean(dim=1, keepdim=True)
    return (_box_mean(squares, radius).sqrt() > tolerance).to(source)


def to_latent_mask(silhouettes: PixelMask, size: tuple[int, int], coverage: float) -> Mask:
    """Ones for the latents, (height, width) of them, of which a silhouette covers more than this share."""
    return (mask_ops.resize(silhouettes, size) > coverage).to(silhouettes)


def grabcut(images: Pixels, maps: PixelMask, rounds: int) -> PixelMask:
    """Cut each row's subject out of its image, from maps in [0, 1] of the same size; zeros and ones."""
    likely = (maps > _LIKELY).to(maps)
    sure = 1 - mask_ops.dilate((maps <= _SURE).to(maps), _UNSURE_RIM)
    labels = torch.full_like(maps, cv2.GC_BGD)
    labels[mask_ops.dilate(likely, _GRABCUT_REACH) > 0] = cv2.GC_PR_BGD
    labels[likely > 0] = cv2.GC_PR_FGD
    labels[sure > 0] = cv2.GC_FGD
    planes = labels.squeeze(1).to(torch.uint8).cpu().numpy()
    for image, plane in zip(to_images(images), planes, strict=True):
        subjects = np.isin(plane, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if subjects.any() and not subjects.all():  # it needs colors of both
            cv2.setRNGSeed(0)  # its k-means starts at random
            background, subject = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.grabCut(np.array(image), plane, (0, 0, 0, 0), background, subject, rounds, cv2.GC_INIT_WITH_MASK)
    found = np.isin(planes, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return rearrange(torch.from_numpy(found), "b H W -> b 1 H W").to(maps)


def guided_filter(guide: Pixels, maps: PixelMask, radius: int, epsilon: float) -> PixelMask:
    """Smooth maps over windows of 2 * radius + 1 pixels, but not across the guide's edges: equations 19 to 21."""
    mean, mean_maps = _box_mean(guide, radius), _box_mean(maps, radius)
    covariance = _box_mean(guide * maps, radius) - mean * mean_maps
    products = rearrange(guide[:, :, None] * guide[:, None], "b i j H W -> b (i j) H W")
    spread = rearrange(_box_mean(products, radius), "b (i j) H W -> b H W i j", i=3)
    spread = spread - rearrange(mean[:, :, None] * mean[:, None], "b i j H W -> b H W i j")
    identity = torch.eye(3, dtype=guide.dtype, device=guide.device)
    slope = torch.linalg.solve(spread + epsilon * identity, rearrange(covariance, "b i H W -> b H W i 1"))
    slope = rearrange(slope, "b H W i 1 -> b i H W")
    offset = mean_maps - (slope * mean).sum(dim=1, keepdim=True)
    return (_box_mean(slope, radius) * guide).sum(dim=1, keepdim=True) + _box_mean(offset, radius)


def _box_mean(planes: Tensor, radius: int) -> Tensor:
    """The mean over square windows, first along rows and then along columns."""
    planes = F.avg_pool2d(F.pad(planes, (radius, radius, 0, 0), mode="replicate"), (1, 2 * radius + 1), stride=1)
    return F.avg_pool2d(F.pad(planes, (0, 0, radius, radius), mode="replicate"), (2 * radius + 1, 1), stride=1)
