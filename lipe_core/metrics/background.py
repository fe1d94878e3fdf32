"""Preservation of the background: PSNR and SSIM of the pixels outside the masks.

Images are arrays of RGB bytes; `background` is True on the background, and None compares whole images. Pixels inside a
mask have no effect.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float64, UInt8
from PIL import Image
from torch import Tensor

RgbArray = UInt8[np.ndarray, "H W 3"]
Region = Bool[np.ndarray, "H W"]

_BEST_PSNR = 60.0
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def outside(*masks: Image.Image) -> Region:
    """The background: the pixels that are dark in every mask. Masks are greyscale images of one size."""
    inside = np.stack([np.asarray(mask.convert("L")) > 127 for mask in masks]).any(axis=0)
    return np.asarray(~inside)


def psnr(edited: RgbArray, source: RgbArray, background: Region | None = None) -> float:
    """Peak signal-to-noise ratio in dB, at most 60 so that means stay finite. Raises ValueError without background."""
    error = np.square(edited.astype(np.float64) - source)
    mean = float((error if background is None else error[_not_empty(background)]).mean())
    return min(_BEST_PSNR, 10 * float(np.log10(255**2 / max(mean, 1e-12))))


def ssim(edited: RgbArray, source: RgbArray, background: Region | None = None) -> float:
    """Structural similarity, mean over channels (Wang et al., https://doi.org/10.1109/TIP.2003.819861, their settings).

    Gaussian windows of 11 pixels count if they are inside the image and their centre is background. Raises ValueError
    for an image smaller than a window, and without background.
    """
    if min(edited.shape[:2]) < _WINDOW:
        raise ValueError(f"SSIM needs images of at least {_WINDOW} x {_WINDOW} pixels, got {edited.shape[:2]}")
    a, b = (
        rearrange(torch.from_numpy(image.astype(np.float64)), "H W c -> c 1 H W")
        for image in (filled(edited, source, background), source)
    )
    mean_a, mean_b = _blur(a), _blur(b)
    spread = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    shared = _blur(a * b) - mean_a * mean_b
    quality = (2 * mean_a * mean_b + _C1) * (2 * shared + _C2) / ((mean_a**2 + mean_b**2 + _C1) * (spread + _C2))
    plane = quality.mean(dim=(0, 1)).numpy()
    edge = _WINDOW // 2
    return float((plane if background is None else plane[_not_empty(background[edge:-edge, edge:-edge])]).mean())


def filled(edited: RgbArray, source: RgbArray, background: Region | None) -> RgbArray:
    """The edited image with the source's pixels outside the background, for metrics that compare neighbourhoods."""
    return edited if background is None else np.where(background[..., None], edited, source)


def _not_empty(background: Region) -> Region:
    if not background.any():
        raise ValueError("the masks leave no background to compare")
    return background


def _blur(planes: Float64[Tensor, "c 1 H W"]) -> Float64[Tensor, "c 1 h w"]:
    """Gaussian-weighted means over all windows inside the image."""
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    rows = F.conv2d(planes, rearrange(weights, "k -> 1 1 k 1"))
    return F.conv2d(rows, rearrange(weights, "k -> 1 1 1 k"))
