"""Encoding and decoding of images by the VAE, and the sizes that the network can process.

SDXL, https://arxiv.org/abs/2307.01952, sections 2.2 and 2.3.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product

import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lipe_core.metrics.color import color_difference
from lipe_core.pixels import to_images, to_pixels
from lipe_core.sdxl.base_model import BaseModel
from lipe_core.shapes import Latents, Pixels, Size

_SIDES = 16
"""The native side of SDXL's buckets is this many times their grain of 64 pixels."""

_AREA = 1.1
"""A bucket of the nearest shape is taken if its area differs from the native one by less than this factor."""


def native_shape(model: BaseModel, size: Size) -> Size:
    """The bucket for an image of this size: its shape at about the area that the network was trained on.

    Training and editing use the same buckets.
    """
    grain = model.factor * 2 ** (len(model.unet.config.block_out_channels) - 1)
    return bucket(size, model.native_size, grain)


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
    height, width = native_shape(model, (image.height, image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def encode_image(model: BaseModel, images: Sequence[Image.Image]) -> Latents:
    """Latents of images of one size, without gradients."""
    with torch.no_grad():
        return encode_pixels(model, to_pixels(images).to(model.device))


def encode_pixels(model: BaseModel, pixels: Pixels) -> Latents:
    """Latents of pixels in [-1, 1]: the VAE's mean, normalized, float32. Gradients flow."""
    shift, scale = _latent_statistics(model)
    mean: Tensor = model.vae.encode(pixels.to(model.vae.dtype)).latent_dist.mean.float()
    return (mean - shift) / scale


def decode(model: BaseModel, latents: Latents) -> list[Image.Image]:
    """Images of latents, without gradients."""
    with torch.no_grad():
        return to_images(decode_pixels(model, latents))


def decode_pixels(model: BaseModel, latents: Latents) -> Pixels:
    """Pixels of latents, float32, in about [-1, 1], not clipped. Gradients flow."""
    shift, scale = _latent_statistics(model)
    decoded: Pixels = model.vae.decode((latents.float() * scale + shift).to(model.vae.dtype)).sample
    return decoded.float()


def enable_tiling(model: BaseModel) -> None:
    """Let the VAE work on tiles of half the native side, with blended edges, which needs a quarter of the memory.

    Colors change a little, because each tile has its own normalization.
    """
    side = model.native_size // 2
    model.vae.use_tiling, model.vae.tile_sample_min_size = True, side
    model.vae.tile_latent_min_size = side // model.factor


@contextmanager
def tiled(model: BaseModel) -> Iterator[None]:
    """Context manager in which the VAE works on tiles."""
    vae = model.vae
    before = {name: getattr(vae, name) for name in ("use_tiling", "tile_sample_min_size", "tile_latent_min_size")}
    enable_tiling(model)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


def color_change(model: BaseModel, image: Image.Image) -> float:
    """The change of an image's colors by encoding and decoding alone, as the distance of `metrics.color`.

    Compared are the areas of single latents. Their colors are the least that a VAE keeps of an image of its kind,
    whereas the loss of fine detail is normal.
    """
    pixels = to_pixels([at_native_shape(model, image)])
    with torch.no_grad():
        decoded = decode_pixels(model, encode_pixels(model, pixels.to(model.device)))
    return float(color_difference(pixels, decoded.cpu(), model.factor))


def _latent_statistics(model: BaseModel) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
    config = model.vae.config
    shift = config.latents_mean or [config.shift_factor or 0.0]
    scale = [deviation / config.scaling_factor for deviation in config.latents_std or [1.0]]
    as_tensor = partial(torch.tensor, dtype=torch.float32, device=model.device)
    return rearrange(as_tensor(shift), "c -> 1 c 1 1"), rearrange(as_tensor(scale), "c -> 1 c 1 1")
