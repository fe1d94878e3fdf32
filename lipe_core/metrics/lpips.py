"""LPIPS, a learned perceptual distance of images (https://arxiv.org/abs/1801.03924, version 0.1, AlexNet).

Its weights are not part of this repository, and the `lpips` package reads pickles. With that package, write the file
that this module reads once:

    safetensors.torch.save_model(lpips.LPIPS(net="alex"), "lpips-alex.safetensors")
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lipe_core.errors import InvalidModel
from lipe_core.metrics.background import Region, RgbArray, filled

Distance = Callable[[RgbArray, RgbArray, Region | None], float]
"""(edited, source, background) -> 0 for equal images, larger for less similar ones; None compares whole images."""

SMALLEST = 31
"""The smallest side in pixels: below, AlexNet's strides leave no output."""

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
#: Name in the file, output channels, input channels, kernel, stride, padding, whether pooling precedes.
_LAYERS = (
    ("net.slice1.0", 64, 3, 11, 4, 2, False),
    ("net.slice2.3", 192, 64, 5, 1, 2, True),
    ("net.slice3.6", 384, 192, 3, 1, 1, True),
    ("net.slice4.8", 256, 384, 3, 1, 1, False),
    ("net.slice5.10", 256, 256, 3, 1, 1, False),
)


def load_lpips(file: Path, *, device: torch.device | str = "cpu") -> Distance:
    """Load the distance from a safetensors file of weights. Raises InvalidModel."""
    try:
        tensors = load_file(file, device=str(device))
    except (OSError, SafetensorError) as error:
        raise InvalidModel(f"{file} holds no LPIPS weights ({error}): see lipe_core/metrics/lpips.py") from error
    for k, (name, wide, deep, kernel, *_) in enumerate(_LAYERS):
        lin = f"lin{k}.model.1.weight"
        tensors.setdefault(
            lin, tensors.get(f"lins.{k}.model.1.weight", torch.empty(0))
        )  # the same tensor under two names
        shapes = {f"{name}.weight": (wide, deep, kernel, kernel), f"{name}.bias": (wide,), lin: (1, wide, 1, 1)}
        for key, shape in shapes.items():
            if key not in tensors or tensors[key].shape != shape:
                raise InvalidModel(f"{file} lacks {key} of shape {shape}: see lipe_core/metrics/lpips.py")
    return partial(_distance, tensors)


@torch.no_grad()
def _distance(
    weights: dict[str, Tensor], edited: RgbArray, source: RgbArray, background: Region | None = None
) -> float:
    """Each layer's grid cells are weighted by their share of background."""
    if min(edited.shape[:2]) < SMALLEST:
        raise ValueError(f"LPIPS needs images of at least {SMALLEST} x {SMALLEST} pixels, got {edited.shape[:2]}")
    if background is not None and not background.any():
        raise ValueError("the masks leave no background to compare")
    device = weights["net.slice1.0.weight"].device
    weight = (
        torch.ones(1, 1, *edited.shape[:2])
        if background is None
        else rearrange(torch.from_numpy(background), "H W -> 1 1 H W")
    )
    total = 0.0
    maps = [_features(weights, image, device) for image in (filled(edited, source, background), source)]
    for k, (a, b) in enumerate(zip(*maps, strict=True)):
        difference = F.conv2d((a - b) ** 2, weights[f"lin{k}.model.1.weight"])
        share = F.adaptive_avg_pool2d(weight.float().to(device), (difference.shape[2], difference.shape[3]))
        total += float((difference * share).sum() / share.sum())
    return total


def _features(weights: dict[str, Tensor], image: RgbArray, device: torch.device) -> list[Float[Tensor, "1 c h w"]]:
    """Outputs of AlexNet's layers, normalized to length 1 at each position."""
    x = rearrange(torch.tensor(image, dtype=torch.float32, device=device), "H W c -> 1 c H W") / 127.5 - 1
    shift, scale = (rearrange(torch.tensor(numbers, device=device), "c -> 1 c 1 1") for numbers in (_SHIFT, _SCALE))
    x = (x - shift) / scale
    outputs = []
    for name, _, _, _, stride, padding, pools in _LAYERS:
        x = F.max_pool2d(x, kernel_size=3, stride=2) if pools else x
        x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=stride, padding=padding))
        outputs.append(x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10))
    return outputs
