"""Did the background stay? PSNR and SSIM of pixels outside the masks; the whole picture where no place is named.

Pictures are RGB bytes, `where` is True on the background. What an edit painted inside a mask changes no figure here.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float64, UInt8
from PIL import Image
from torch import Tensor

Picture = UInt8[np.ndarray, "H W 3"]
Where = Bool[np.ndarray, "H W"]

_BEST_PSNR = 60.0
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def outside(*masks: Image.Image) -> Where:
    """The background: where every mask is dark. Masks are greyscale, of one size, white on the subject."""
    inside = np.stack([np.asarray(mask.convert("L")) > 127 for mask in masks]).any(axis=0)
    return np.asarray(~inside)


def psnr(seen: Picture, meant: Picture, where: Where | None = None) -> float:
    """Peak signal-to-noise ratio in dB, at most 60 so that means stay finite. Raises ValueError for no background."""
    error = np.square(seen.astype(np.float64) - meant)
    mean = float((error if where is None else error[_some(where)]).mean())
    return min(_BEST_PSNR, 10 * float(np.log10(255**2 / max(mean, 1e-12))))


def ssim(seen: Picture, meant: Picture, where: Where | None = None) -> float:
    """Structural similarity, mean over channels (Wang et al., https://doi.org/10.1109/TIP.2003.819861, their settings).

    Windows are Gaussian, 11 wide, and count by their centre, only where they fit into the picture. Raises ValueError
    where none does, and for no background.
    """
    if min(seen.shape[:2]) < _WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {_WINDOW} x {_WINDOW} pixels, got {seen.shape[:2]}")
    a, b = (
        rearrange(torch.from_numpy(picture.astype(np.float64)), "H W c -> c 1 H W")
        for picture in (filled(seen, meant, where), meant)
    )
    mean_a, mean_b = _blur(a), _blur(b)
    spread = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    shared = _blur(a * b) - mean_a * mean_b
    quality = (2 * mean_a * mean_b + _C1) * (2 * shared + _C2) / ((mean_a**2 + mean_b**2 + _C1) * (spread + _C2))
    plane = quality.mean(dim=(0, 1)).numpy()
    edge = _WINDOW // 2
    return float((plane if where is None else plane[_some(where[edge:-edge, edge:-edge])]).mean())


def filled(seen: Picture, meant: Picture, where: Where | None) -> Picture:
    """The seen picture with the meant one's pixels off the background, for measures that look at neighbourhoods."""
    return seen if where is None else np.where(where[..., None], seen, meant)


def _some(where: Where) -> Where:
    if not where.any():
        raise ValueError("the masks leave no background to judge")
    return where


def _blur(planes: Float64[Tensor, "c 1 H W"]) -> Float64[Tensor, "c 1 h w"]:
    """Weighted means over all windows that fit."""
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    rows = F.conv2d(planes, rearrange(weights, "k -> 1 1 k 1"))
    return F.conv2d(rows, rearrange(weights, "k -> 1 1 1 k"))
