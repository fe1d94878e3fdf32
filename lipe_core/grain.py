"""The grain of a photo, so that generated parts do not look smoother than the rest.

An image that was scaled down for the network and up again has lost the finest scales. On an edge they are detail and
cannot be invented. Where the photo is flat they are the noise of its sensor, a stationary texture, which is drawn anew
from its mean spectrum with random phases: Galerne, Gousseau and Morel, Random Phase Textures, IEEE TIP 2011
(https://doi.org/10.1109/TIP.2010.2052822).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lipe_core.shapes import Size

_PATCH = 32
"""Side in pixels of the patches whose spectrum is measured."""

_PATCHES = 400
"""Number of patches, spread evenly over the photo."""

_FLAT = 0.25
"""Share of the patches, those with the least energy, that count as flat."""

_TILE = 512
"""Side in pixels of the tile of grain that is repeated."""


def add_grain(image: Image.Image, photo: Image.Image, working: Size) -> Image.Image:
    """Add the grain that the photo has and that an image of the size `working` cannot have.

    Both images are RGB, of one size. The grain is the same at each call. An image that was not scaled down gets none.
    """
    if working[0] >= photo.height or working[1] >= photo.width or min(photo.size) < 2 * _PATCH:
        return image
    tile = grain_tile(photo, working)
    grainy = np.array(image)
    for top in range(0, image.height, _TILE):
        for left in range(0, image.width, _TILE):
            part = grainy[top : top + _TILE, left : left + _TILE]
            noisy = part + tile[: part.shape[0], : part.shape[1]]
            part[:] = noisy.round().clip(0, 255).astype(np.uint8)
    return Image.fromarray(grainy)


def grain_tile(photo: Image.Image, working: Size) -> NDArray[np.float32]:
    """A periodic tile (_TILE, _TILE, 3) of grain in levels of 0 to 255, with the mean spectrum of flat patches.

    All channels share their phases, since what a camera leaves of its noise is mostly brightness.
    """
    patches = lost_detail(photo, working)
    energies = patches.var(axis=(1, 2)).sum(axis=1)
    flat = patches[energies <= np.quantile(energies, _FLAT)]
    spectra = np.abs(np.fft.fft2(flat, axes=(1, 2))) ** 2
    kernel = np.fft.ifft2(np.sqrt(spectra.mean(axis=0)), axes=(0, 1)).real / _PATCH
    placed = np.zeros((_TILE, _TILE, 3))
    placed[:_PATCH, :_PATCH] = np.fft.fftshift(kernel, axes=(0, 1))
    noise = np.fft.fft2(np.random.default_rng(0).standard_normal((_TILE, _TILE)))[..., None]
    tile = np.fft.ifft2(noise * np.fft.fft2(placed, axes=(0, 1)), axes=(0, 1)).real
    grain: NDArray[np.float32] = (tile - tile.mean(axis=(0, 1))).astype(np.float32)
    return grain


def lost_detail(photo: Image.Image, working: Size) -> NDArray[np.float64]:
    """Patches (n, _PATCH, _PATCH, 3) of the difference between a photo and itself scaled to `working` and back."""
    height, width = working
    small = photo.resize((width, height), Image.Resampling.LANCZOS)
    count = int(np.sqrt(_PATCHES))
    scale = width / photo.width, height / photo.height
    patches = []
    for top in np.linspace(0, photo.height - _PATCH, count).astype(int).tolist():
        for left in np.linspace(0, photo.width - _PATCH, count).astype(int).tolist():
            box = left, top, left + _PATCH, top + _PATCH
            low = tuple(side * scale[index % 2] for index, side in enumerate(box))
            seen = small.resize((_PATCH, _PATCH), Image.Resampling.LANCZOS, box=low)
            patches.append(np.asarray(photo.crop(box), float) - np.asarray(seen, float))
    lost: NDArray[np.float64] = np.stack(patches)
    lost -= lost.mean(axis=(1, 2), keepdims=True)
    return lost
