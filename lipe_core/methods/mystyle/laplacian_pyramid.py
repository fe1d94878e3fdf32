"""The distance of two images at every scale: Lap1 of a Laplacian pyramid (https://arxiv.org/abs/1707.05776)."""

import torch.nn.functional as F
from torch import Tensor

from lipe_core.shapes import PerRow, Pixels

_LEVELS = 4


def pyramid_distance(images: Pixels, targets: Pixels) -> PerRow:
    """The mean absolute difference of each level's detail, summed over levels, for each row. Differentiable.

    Images whose sides cannot be halved four times have fewer levels.
    """
    difference, total = images - targets, images.new_zeros(len(images))
    for _ in range(_LEVELS):
        if difference.shape[2] % 2 or difference.shape[3] % 2:
            break
        coarse = F.avg_pool2d(difference, 2)
        total = total + _mean_absolute(difference - F.interpolate(coarse, scale_factor=2.0, mode="bilinear"))
        difference = coarse
    return total + _mean_absolute(difference)


def _mean_absolute(level: Tensor) -> PerRow:
    mean: Tensor = level.abs().mean(dim=(1, 2, 3))
    return mean
