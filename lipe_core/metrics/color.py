"""Differences of colors as people see them: the distance Delta E*ab in CIELAB (CIE 1976).

https://en.wikipedia.org/wiki/Color_difference#CIE76
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray

from lipe_core.shapes import PerRow, Pixels

VISIBLE = 2.3
"""A just noticeable difference: Mahy, Van Eycken and Oosterlinck, 1994
(https://doi.org/10.1002/col.5080190206)."""


def color_difference(first: Pixels, second: Pixels, side: int) -> PerRow:
    """The mean distance of two images' colors, for each row: of the mean colors of squares of `side` pixels.

    Fine detail inside a square does not count.
    """
    distances = np.linalg.norm(_lab(first, side) - _lab(second, side), axis=-1)
    return torch.from_numpy(distances.mean(axis=(1, 2)))


def _lab(images: Pixels, side: int) -> NDArray[np.float32]:
    """The squares' colors in CIELAB, (b, rows, columns, 3)."""
    squares = (F.avg_pool2d(images.float().cpu().clamp(-1, 1), side) + 1) / 2
    rows = [cv2.cvtColor(plane, cv2.COLOR_RGB2LAB) for plane in rearrange(squares, "b c h w -> b h w c").numpy()]
    return np.stack(rows).astype(np.float32)
