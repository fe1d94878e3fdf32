"""Pictures as a judge meets them: whole or cut to the subject, in a little other colours, some soft or noisy."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from lipe_core.metrics.crop import subject_crop
from menagerie.attributes import Drawing, sample_action, sample_drawing
from menagerie.draw import mask, render
from menagerie.pool import to_pixels

ALIKE = 4


def alike_but_for_the_action(rng: np.random.Generator, count: int) -> list[Drawing]:
    """``count`` drawings in groups of four: one subject in one scene that acts differently."""
    drawings: list[Drawing] = []
    while len(drawings) < count:
        first = sample_drawing(rng)
        group = {first.action: first}
        while len(group) < ALIKE:
            action = sample_action(rng, first.identity.class_noun)
            group[action] = replace(first, action=action)
        drawings += group.values()
    return drawings[:count]


def views(rng: np.random.Generator, drawings: Sequence[Drawing], size: int, cut: float) -> Tensor:
    """Pixels (n, 3, size, size) about [-1, 1]; a share ``cut`` of the pictures is cut to the subject."""
    pictures = [_cut(rng, drawing, size) if rng.random() < cut else render(drawing, size) for drawing in drawings]
    return soften(rng, to_pixels(np.stack(pictures)))


def _cut(rng: np.random.Generator, drawing: Drawing, size: int) -> npt.NDArray[np.uint8]:
    whole, silhouette = Image.fromarray(render(drawing, size)), Image.fromarray(mask(drawing, size))
    crop = subject_crop(whole, silhouette, margin=rng.uniform(0.0, 0.3))
    return np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))


def soften(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Contrast and brightness of each picture change a little; a third is blurred, another made noisy."""
    contrast, brightness = rng.uniform([[0.92], [-0.05]], [[1.08], [0.05]], (2, len(pixels))).astype(np.float32)
    pixels = pixels * torch.from_numpy(contrast).view(-1, 1, 1, 1) + torch.from_numpy(brightness).view(-1, 1, 1, 1)
    third = torch.from_numpy(rng.permutation(len(pixels)) % 3)
    blurred = pixels[third == 0]
    pixels[third == 0] = interpolate(avg_pool2d(blurred, 2), scale_factor=2, mode="bilinear")
    noisy = pixels[third == 1]
    noise = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
    pixels[third == 1] = noisy + float(rng.uniform(0.0, 0.08)) * noise
    return pixels
