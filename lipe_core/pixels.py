"""Conversion between PIL images and tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from PIL import Image

from lipe_core.shapes import PixelMask, Pixels, Size


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB; the same object if it is RGB already, because a photo takes much memory."""
    return image if image.mode == "RGB" else image.convert("RGB")


def to_pixels(images: Sequence[Image.Image]) -> Pixels:
    """Images of one size as an RGB batch in [-1, 1]."""
    arrays = np.stack([np.asarray(to_rgb(image)) for image in images])
    return rearrange(torch.from_numpy(arrays).float(), "b H W c -> b c H W") / 127.5 - 1


def to_images(pixels: Pixels) -> list[Image.Image]:
    """A batch in [-1, 1] as RGB images; values outside are clipped."""
    bytes_ = ((pixels.cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return [Image.fromarray(array) for array in rearrange(bytes_, "b c H W -> b H W c").numpy()]


def to_mask(image: Image.Image) -> PixelMask:
    """A greyscale image as a mask of zeros and ones: 1 above mid-grey, so that compression noise in black stays 0."""
    return rearrange(torch.from_numpy(np.array(image.convert("L")) > 127).float(), "H W -> 1 1 H W")


def resized(image: Image.Image, size: Size) -> Image.Image:
    """The image at this (height, width); the same object if it already has it."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
