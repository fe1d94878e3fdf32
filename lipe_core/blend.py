"""The source back where the mask is 0: in latents at every step, in pixels at the end.

The blend of Blended Latent Diffusion (https://arxiv.org/abs/2206.02779) with the inversion's own trajectory
in place of freshly noised latents, as in LIPE, section 3.3: the background's error in latent space is zero
by construction.
"""

from PIL import Image

from lipe_core.shapes import Latents, Mask


def blend(edit: Latents, source: Latents, mask: Mask) -> Latents:
    """M * edit + (1 - M) * source; where M is 0 or 1, exactly the one or the other."""
    return (mask * edit + (1 - mask) * source).where(mask > 0, source)


def composite(edit: Image.Image, source: Image.Image, mask: Image.Image) -> Image.Image:
    """The same in pixels; `mask` is greyscale. Where it is black, the source's very bytes."""
    return Image.composite(edit, source, mask)
