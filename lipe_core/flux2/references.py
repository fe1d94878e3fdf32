"""Images that the network reads as further tokens beside the target: text, target and references are one sequence.

As `image=` of diffusers' `Flux2KleinPipeline`. The velocity of a reference's tokens is not used, and no step changes
them. On the axis of images, the target is number 0, and the references are numbers 10, 20 and so on.
"""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lipe_core.flux2.base_model import Beside, Networks, image_ids
from lipe_core.flux2.images import encode_pixels
from lipe_core.pixels import to_pixels, to_rgb
from lipe_core.shapes import ImageLatents

_SPACING = 10
"""Distance of neighbouring images on their axis."""


def beside(images: Sequence[Float[Tensor, "b c _ _"]]) -> Beside:
    """The tokens of at least one image, which may have any sizes, from clean latents.

    All have one row, which stands beside every row of the target, or each has as many rows as the target.
    """
    tokens = [rearrange(latents, "b c h w -> b (h w) c") for latents in images]
    ids = [
        image_ids(latents.shape[2], latents.shape[3], number * _SPACING)
        for number, latents in enumerate(images, start=1)
    ]
    return Beside(torch.cat(tokens, dim=1), torch.cat(ids).to(images[0].device))


@torch.no_grad()
def encode_reference(model: Networks, image: Image.Image) -> ImageLatents:
    """The clean latents of an image at its own shape, one row."""
    return encode_pixels(model, to_pixels([fitted(image, model.native_size**2, model.factor)]).to(model.device))


def fitted(image: Image.Image, area: int, multiple: int) -> Image.Image:
    """The image with at most `area` pixels, and its center cut out so that its sides are multiples of `multiple`.

    A small image stays small: its tokens would not show more, and each token costs time.
    """
    image = to_rgb(image)
    if image.width * image.height > area:
        scale = math.sqrt(area / (image.width * image.height))
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.LANCZOS)
    width, height = (max(side // multiple, 1) * multiple for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
