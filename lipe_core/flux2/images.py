"""Encoding and decoding of images: the VAE, patches of its latents, and their normalization by running statistics."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from lipe_core.flux2.base_model import PATCH, Networks
from lipe_core.shapes import Latents, Pixels


def encode_pixels(model: Networks, pixels: Pixels) -> Latents:
    """Latents of pixels in [-1, 1]: the VAE's mean in patches, normalized, float32. Gradients flow."""
    mean: Tensor = model.vae.encode(pixels.to(model.vae.dtype)).latent_dist.mode().float()
    return to_tokens(model, mean)


def to_tokens(model: Networks, latents: Float[Tensor, "b c2 h2 w2"]) -> Latents:
    """Normalized tokens of the VAE's latents: four times the channels, half the side."""
    patches = rearrange(latents, "b c (h i) (w j) -> b (c i j) h w", i=PATCH, j=PATCH)
    shift, scale = _latent_statistics(model)
    return (patches - shift) / scale


def decode_pixels(model: Networks, latents: Latents) -> Pixels:
    """Pixels of latents, float32, in about [-1, 1], not clipped. Gradients flow."""
    shift, scale = _latent_statistics(model)
    patches = latents.float() * scale + shift
    mean = rearrange(patches, "b (c i j) h w -> b c (h i) (w j)", i=PATCH, j=PATCH)
    decoded: Pixels = model.vae.decode(mean.to(model.vae.dtype)).sample
    return decoded.float()


def enable_tiling(model: Networks) -> None:
    """Let the VAE work on tiles of half the native side, with blended edges.

    Colors change a little, because each tile has its own normalization.
    """
    side = model.native_size // 2
    model.vae.use_tiling, model.vae.tile_sample_min_size = True, side
    model.vae.tile_latent_min_size = side * PATCH // model.factor


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
    """Mean and deviation of a token's channels, as the VAE's batch normalization keeps them."""
    mean, variance = (
        rearrange(values.float(), "c -> 1 c 1 1") for values in (model.vae.bn.running_mean, model.vae.bn.running_var)
    )
    return mean, torch.sqrt(variance + model.vae.config.batch_norm_eps)
