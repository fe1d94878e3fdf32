"""Augmented renderings for the vision models: whole or cropped to the subject, recoloured, some blurred or noisy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from lipe_core.metrics.crop import subject_crop
from menagerie.attributes import Drawing
from menagerie.draw import mask, render
from menagerie.pool import to_pixels


def render_augmented(rng: np.random.Generator, drawings: Sequence[Drawing], size: int, crop_share: float) -> Tensor:
    """Pixels (n, 3, size, size), about [-1, 1]. Each image is cropped to its subject with probability `crop_share`."""
    images = [
        _render_cropped(rng, drawing, size) if rng.random() < crop_share else render(drawing, size)
        for drawing in drawings
    ]
    return degrade(rng, to_pixels(np.stack(images)))


def _render_cropped(rng: np.random.Generator, drawing: Drawing, size: int) -> npt.NDArray[np.uint8]:
    whole, silhouette = Image.fromarray(render(drawing, size)), Image.fromarray(mask(drawing, size))
    crop = subject_crop(whole, silhouette, margin=rng.uniform(0.0, 0.3))
    return np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))


def degrade(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Change contrast and brightness of each image slightly, blur a third of them and add noise to another third."""
    contrast, brightness = rng.uniform([[0.92], [-0.05]], [[1.08], [0.05]], (2, len(pixels))).astype(np.float32)
    pixels = pixels * torch.from_numpy(contrast).view(-1, 1, 1, 1) + torch.from_numpy(brightness).view(-1, 1, 1, 1)
    third = torch.from_numpy(rng.permutation(len(pixels)) % 3)
    blurred = pixels[third == 0]
    pixels[third == 0] = interpolate(avg_pool2d(blurred, 2), scale_factor=2, mode="bilinear")
    noisy = pixels[third == 1]
    noise = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
    pixels[third == 1] = noisy + float(rng.uniform(0.0, 0.08)) * noise
    return pixels
