"""Encoding and decoding of images by the VAE, and the sizes that the network can process.

SDXL, https://arxiv.org/abs/2307.01952, sections 2.2 and 2.3.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from lipe_core.backbone import bucket
from lipe_core.checkpoint.sdxl_memory import PRIOR, needs_tiles
from lipe_core.quantization import is_quantized, weight_bytes
from lipe_core.sdxl.base_model import Networks
from lipe_core.shapes import Latents, Pixels, Size


def native_shape(model: Networks, size: Size) -> Size:
    """The bucket for an image of this size: its shape at about the area that the network was trained on.

    Training and editing use the same buckets.
    """
    grain = model.factor * 2 ** (len(model.unet.config.block_out_channels) - 1)
    return bucket(size, model.native_size, grain)


def encode_pixels(model: Networks, pixels: Pixels) -> Latents:
    """Latents of pixels in [-1, 1]: the VAE's mean, normalized, float32. Gradients flow."""
    shift, scale = _latent_statistics(model)
    mean: Tensor = model.vae.encode(pixels.to(model.vae.dtype)).latent_dist.mean.float()
    return (mean - shift) / scale


def decode_pixels(model: Networks, latents: Latents) -> Pixels:
    """Pixels of latents, float32, in about [-1, 1], not clipped. Gradients flow."""
    shift, scale = _latent_statistics(model)
    decoded: Pixels = model.vae.decode((latents.float() * scale + shift).to(model.vae.dtype)).sample
    return decoded.float()


def fit_gpu(model: Networks, card_bytes: int) -> None:
    """Let the VAE take one image at once, and tiles of an image on a GPU with little memory.

    One image fills a GPU, so that slices cost no time.
    """
    model.vae.enable_slicing()
    resident, prior = sum(map(weight_bytes, model.networks)), 0 if is_quantized(model.unet) else PRIOR
    if needs_tiles(card_bytes, resident, model.vae.dtype.itemsize, prior):
        enable_tiling(model)


def enable_tiling(model: Networks) -> None:
    """Let the VAE work on tiles of half the native side, with blended edges, which needs a quarter of the memory.

    Colors change a little, because each tile has its own normalization.
    """
    side = model.native_size // 2
    model.vae.use_tiling, model.vae.tile_sample_min_size = True, side
    model.vae.tile_latent_min_size = side // model.factor


@contextmanager
def tiled(model: Networks) -> Iterator[None]:
    """Context manager in which the VAE works on tiles."""
    vae = model.vae
    before = {name: getattr(vae, name) for name in ("use_tiling", "tile_sample_min_size", "tile_latent_min_size")}
    enable_tiling(model)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


def _latent_statistics(model: Networks) -> tuple[Float[Tensor, "1 c 1 1"], Float[Tensor, "1 c 1 1"]]:
    config = model.vae.config
    shift = config.latents_mean or [config.shift_factor or 0.0]
    scale = [deviation / config.scaling_factor for deviation in config.latents_std or [1.0]]
    as_tensor = partial(torch.tensor, dtype=torch.float32, device=model.device)
    return rearrange(as_tensor(shift), "c -> 1 c 1 1"), rearrange(as_tensor(scale), "c -> 1 c 1 1")
