"""Silhouettes to the pixel: attention finds the subject, the image's colors find its outline.

Guided Image Filtering, He, Sun and Tang, TPAMI 2013 (https://doi.org/10.1109/TPAMI.2012.213), with a color guide.
An attention map has some 16 x 16 cells; inside a small window the filter makes it a linear function of the colors.

GrabCut, Rother, Kolmogorov and Blake, SIGGRAPH 2004 (https://doi.org/10.1145/1015706.1015720), runs after the filter
on finished images: it learns the colors of subject and background and finds the shortest border between them.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from lipe_core.masks import mask_ops
from lipe_core.pixels import to_images
from lipe_core.shapes import Mask, PixelMask, Pixels, Size

_EDGE_VARIANCE = 4e-3
"""The paper's epsilon, for colors in [-1, 1]: the variance of the colors in a window that counts as an edge."""

_FILTER_PASSES = 2
"""The second pass filters the sharpened result of the first."""

_LIKELY = 0.5
_SURE = 0.75
"""GrabCut's start: above these values of a filtered map, normalized to [0, 1], the subject is likely or sure."""

_UNSURE_RIM = 0.03
"""Fraction of the shorter side: no pixel is sure this near to a pixel that is not."""

_GRABCUT_REACH = 0.09
"""Fraction of the shorter side: how far from a likely pixel GrabCut may find the subject."""

_GRABCUT_ROUNDS = 1

_FILTER_RADIUS = 0.08
"""Fraction of the shorter side: how far the filter moves an outline to an edge. About one cell of an attention map."""

_NEAR = 0.03
"""Fraction of the shorter side: parts that are nearer than twice this belong together."""

_SMALLEST_PART = 0.1
"""Fraction of the largest part's area. Smaller parts that are not near it are not the subject's."""

_COVERAGE = 0.25
"""Share of a latent's area. A silhouette that covers more of it covers the latent."""

_WORKING_SIDE = 256
"""Largest shorter side, in pixels, of the image that guides the filter: its cost grows with the image, and attention
has no finer detail."""


def silhouette(maps: Mask, images: Pixels) -> PixelMask:
    """The subject in each image, from raw attention maps; zeros and ones, of the images' size, without holes."""
    rows, columns = images.shape[2:]
    scale = min(1.0, _WORKING_SIDE / min(rows, columns))
    guide = F.adaptive_avg_pool2d(images, (round(rows * scale), round(columns * scale)))
    found = mask_ops.min_max_normalize(mask_ops.resize(maps, (guide.shape[2], guide.shape[3])))
    for _ in range(_FILTER_PASSES):
        found = guided_filter(guide, found, round(_FILTER_RADIUS * min(guide.shape[2:])), _EDGE_VARIANCE).clamp(0, 1)
    cut = grabcut(guide, grabcut_start(mask_ops.min_max_normalize(found)))
    return whole((mask_ops.resize(cut, (rows, columns)) > 0.5).to(cut))


def whole(silhouettes: PixelMask) -> PixelMask:
    """Fill the holes of each row, and drop parts that are small and far from the others."""
    rows = []
    for plane, near in zip(_planes(silhouettes), _planes(mask_ops.dilate(silhouettes, _NEAR)), strict=True):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(near)
        areas = stats[1:, cv2.CC_STAT_AREA]  # row 0 is the background
        kept = 1 + np.flatnonzero(areas >= _SMALLEST_PART * areas.max(initial=0))
        outlines, _ = cv2.findContours(plane * np.isin(labels, kept), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        rows.append(cv2.drawContours(np.zeros_like(plane), outlines, -1, 1, cv2.FILLED))
    return rearrange(torch.from_numpy(np.stack(rows)), "b H W -> b 1 H W").to(silhouettes)


def _planes(masks: PixelMask) -> npt.NDArray[np.uint8]:
    planes: npt.NDArray[np.uint8] = (masks.squeeze(1) > 0).to(torch.uint8).cpu().numpy()
    return planes


def to_latent_mask(silhouettes: PixelMask, size: Size) -> Mask:
    """Ones for the latents, (height, width) of them, of which a silhouette covers enough."""
    return (mask_ops.resize(silhouettes, size) > _COVERAGE).to(silhouettes)


def recut(silhouettes: PixelMask, images: Pixels) -> PixelMask:
    """Move the outlines of silhouettes, which are nearly right, to the subjects' edges in the images."""
    labels = torch.full_like(silhouettes, cv2.GC_BGD)
    labels[mask_ops.dilate(silhouettes, _UNSURE_RIM) > 0] = cv2.GC_PR_BGD
    labels[silhouettes > 0] = cv2.GC_PR_FGD
    labels[mask_ops.dilate(1 - silhouettes, _UNSURE_RIM) == 0] = cv2.GC_FGD
    return whole(grabcut(images, labels))


def grabcut_start(maps: PixelMask) -> PixelMask:
    """GrabCut's labels from maps in [0, 1]."""
    likely = (maps > _LIKELY).to(maps)
    labels = torch.full_like(maps, cv2.GC_BGD)
    labels[mask_ops.dilate(likely, _GRABCUT_REACH) > 0] = cv2.GC_PR_BGD
    labels[likely > 0] = cv2.GC_PR_FGD
    labels[mask_ops.dilate((maps <= _SURE).to(maps), _UNSURE_RIM) == 0] = cv2.GC_FGD
    return labels


def grabcut(images: Pixels, labels: PixelMask) -> PixelMask:
    """Cut each row's subject out of its image, from OpenCV's labels; zeros and ones."""
    planes = labels.squeeze(1).to(torch.uint8).cpu().numpy()
    for image, plane in zip(to_images(images), planes, strict=True):
        subjects = np.isin(plane, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if subjects.any() and not subjects.all():  # it needs colors of both
            cv2.setRNGSeed(0)  # its k-means starts at random
            models = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.grabCut(np.array(image), plane, (0, 0, 0, 0), *models, _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(planes, (cv2.GC_FGD, cv2.GC_PR_FGD))
    return rearrange(torch.from_numpy(found), "b H W -> b 1 H W").to(labels)


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
