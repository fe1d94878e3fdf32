"""Images of any size: the sizes that a network was trained on, and the way to latents and back.

The buckets are those of SDXL, https://arxiv.org/abs/2307.01952, section 2.3.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
from PIL import Image

from lipe_core.backbone.base_model import BaseModel
from lipe_core.metrics.color import color_difference
from lipe_core.pixels import to_images, to_pixels
from lipe_core.shapes import Latents, Size

_SIDES = 16
"""The native side of SDXL's buckets is this many times their grain of 64 pixels."""

_AREA = 1.1
"""A bucket of the nearest shape is taken if its area differs from the native one by less than this factor."""


def bucket(size: Size, native_size: int, grain: int) -> Size:
    """The (height, width) nearest to the shape of `size`, with about the area of a square of `native_size`.

    Sides are multiples of a sixteenth of the native side, 64 pixels for SDXL (https://arxiv.org/abs/2307.01952,
    appendix I). A network whose levels need a coarser `grain` has multiples of that.
    """
    height, width = size
    scale = math.sqrt(native_size**2 / (height * width))
    multiple = max(1, native_size // _SIDES // grain) * grain
    exact = height * scale / multiple, width * scale / multiple
    nearest = max(1, round(exact[0])), max(1, round(exact[1]))
    around = product(*({math.floor(side), math.ceil(side)} for side in exact))
    same_area = [cells for cells in around if _ratio(math.prod(cells), math.prod(exact)) < _AREA]
    rows, columns = min(same_area, key=lambda cells: _ratio(cells[0] / cells[1], exact[0] / exact[1]), default=nearest)
    return rows * multiple, columns * multiple


def _ratio(one: float, other: float) -> float:
    """The larger of two numbers divided by the smaller; infinite if one is 0."""
    low, high = sorted((one, other))
    return high / low if low else math.inf


def at_native_shape(model: BaseModel, image: Image.Image) -> Image.Image:
    """The image at its `native_shape`."""
    height, width = model.native_shape((image.height, image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def encode_image(model: BaseModel, images: Sequence[Image.Image]) -> Latents:
    """Latents of images of one size, without gradients."""
    with torch.no_grad():
        return model.encode_pixels(to_pixels(images).to(model.device))


def decode(model: BaseModel, latents: Latents) -> list[Image.Image]:
    """Images of latents, without gradients."""
    with torch.no_grad():
        return to_images(model.decode_pixels(latents))


def color_change(model: BaseModel, image: Image.Image) -> float:
    """The change of an image's colors by encoding and decoding alone, as the distance of `metrics.color`.

    Compared are the areas of single latents. Their colors are the least that a VAE keeps of an image of its kind,
    whereas the loss of fine detail is normal.
    """
    pixels = to_pixels([at_native_shape(model, image)])
    with torch.no_grad():
        decoded = model.decode_pixels(model.encode_pixels(pixels.to(model.device)))
    return float(color_difference(pixels, decoded.cpu(), model.factor))
