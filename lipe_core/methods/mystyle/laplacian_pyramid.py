"""How different two pictures are at every scale at once: the distance Lap1 of a Laplacian pyramid
(https://arxiv.org/abs/1707.05776)."""

import torch.nn.functional as F
from torch import Tensor

from lipe_core.shapes import PerRow, Pixels

_LEVELS = 4


def pyramid_distance(seen: Pixels, meant: Pixels) -> PerRow:
    """The mean absolute difference of each level's detail, summed over levels, for each row; gradients flow.

    Sides that do not halve four times have fewer levels.
    """
    difference, total = seen - meant, seen.new_zeros(len(seen))
    for _ in range(_LEVELS):
        if difference.shape[2] % 2 or difference.shape[3] % 2:
            break
        coarse = F.avg_pool2d(difference, 2)
        total = total + _size(difference - F.interpolate(coarse, scale_factor=2.0, mode="bilinear"))
        difference = coarse
    return total + _size(difference)


def _size(level: Tensor) -> PerRow:
    size: Tensor = level.abs().mean(dim=(1, 2, 3))
    return size
