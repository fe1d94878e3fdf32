"""NIMA's edit mask: the latents and pixels that may change. LIPE, section 3.3: the union of M_s and M_e."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lipe_core.masks import mask_ops, segmentation
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.source import Source
from lipe_core.shapes import Latents, Mask, PixelMask, Pixels, Size

_RIM = 0.012
"""Fraction of the shorter side: the soft rim of a generated figure, which changes with it."""

_MOST_MASK = 0.38
"""Share of all pixels that a mask may have with its margin before the margin becomes narrower."""

_MOST_MARGIN = 0.115
"""Share of all pixels that the margin adds at most, unless the margin itself is large."""

_CHANGED = 0.5
"""Distance between two latents above which they show different things, as a fraction of that between unrelated ones."""


@dataclass(frozen=True)
class EditMask:
    """The region that may change: over latents (M in the paper) and to the pixel.

    `figure` is the silhouette of the edited subject, or None if no first pass was made.
    """

    latents: Mask
    pixels: PixelMask
    figure: PixelMask | None = None

    def within(self, limit: PixelMask) -> "EditMask":
        """The masks inside `limit`, one row for all."""
        pixels = self.pixels * limit
        rows, columns = self.latents.shape[2:]
        return replace(self, latents=segmentation.to_latent_mask(pixels, (rows, columns)), pixels=pixels)

    def part(self, rows: range) -> "EditMask":
        """The masks of some of the rows."""
        latents, pixels = (masks[rows.start : rows.stop] for masks in (self.latents, self.pixels))
        return EditMask(latents, pixels, None if self.figure is None else self.figure[rows.start : rows.stop])

    @classmethod
    def concat(cls, parts: Sequence["EditMask"]) -> "EditMask":
        """The masks of all rows, from those of consecutive parts."""
        figures = [part.figure for part in parts if part.figure is not None]
        latents, pixels = (torch.cat(masks) for masks in zip(*((p.latents, p.pixels) for p in parts), strict=True))
        return cls(latents, pixels, torch.cat(figures) if figures else None)


def source_mask(source: Source, config: NimaConfig) -> EditMask:
    """The source's silhouette alone, grown by the margin, or the whole image: without a first pass."""
    pixels = _with_margin(source.silhouette, config)
    if config.mask_mode == "none":
        pixels = torch.ones_like(pixels)
    return EditMask(segmentation.to_latent_mask(pixels, source.latent_size), pixels)


def union_mask(source: Source, figure: PixelMask, x_0: Latents, config: NimaConfig) -> EditMask:
    """The old and the new silhouette where the first pass, with the clean latents `x_0`, differs from the source.

    This region grows by the config's margin. The rest, such as the body of a subject that only smiles, keeps the
    source.
    """
    silhouettes = mask_ops.union(source.silhouette, figure)
    size = (silhouettes.shape[2], silhouettes.shape[3])
    changed = changed_region(x_0, source.trajectory.x_0.expand_as(x_0), size)
    pixels = _with_margin(silhouettes * changed, config)
    return EditMask(segmentation.to_latent_mask(pixels, source.latent_size), pixels, figure)


def _with_margin(mask: PixelMask, config: NimaConfig) -> PixelMask:
    most = max(_MOST_MARGIN, 2 * config.margin, _MOST_MASK - float(mask.mean(dim=(1, 2, 3)).max()))
    return mask_ops.dilate(mask, config.margin, at_most=most)


def changed_region(edited: Latents, source: Latents, size: Size) -> PixelMask:
    """Ones for the pixels, (height, width) of them, where the latents of two images show different things.

    Latents have unit variance in each of C channels, so that unrelated ones are sqrt(2 C) apart on average.
    """
    distance = (edited - source).norm(dim=1, keepdim=True) / math.sqrt(2 * source.shape[1])
    return (mask_ops.resize(distance, size) > _CHANGED).to(source)


def trimmed(mask: EditMask, source: Source, generated: Pixels) -> EditMask:
    """The mask without the ring between the figure that was generated and the mask's edge, where it is background."""
    if mask.figure is None:
        return mask
    figure = mask_ops.union(mask.figure, segmentation.recut(mask.figure, generated))
    kept = mask_ops.dilate(mask_ops.union(figure, source.silhouette), _RIM)
    # `whole` fills holes, but drops small parts far from the rest, such as a distant figure or parts of a user's mask.
    return replace(mask, pixels=mask.pixels * mask_ops.union(kept, segmentation.whole(kept)))
