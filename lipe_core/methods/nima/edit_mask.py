"""NIMA's edit mask: the latents and pixels that may change at a step. LIPE, section 3.3.

The mask starts as the source's. Before the first of the config's `looks` it is M_s joined with the mask of the running
attention map. At each look the edit so far is decoded, and its silhouette makes the mask until the next look.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lipe_core import sdxl
from lipe_core.masks import mask_ops, segmentation
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.source import Source
from lipe_core.methods.request import OnPreview
from lipe_core.methods.session import EditSession
from lipe_core.pixels import to_images
from lipe_core.shapes import AttentionMap, Latents, Mask, PixelMask


@dataclass(frozen=True)
class EditMask:
    """The region that may change: over latents (M in the paper) and to the pixel."""

    latents: Mask
    pixels: PixelMask


def look_steps(config: NimaConfig, steps: int) -> set[int]:
    """The steps, from 1, at which the edit so far is decoded to find the subject in it."""
    return {math.ceil(look * steps) for look in config.looks} if config.mask_mode == "union" else set()


def last_attention_step(config: NimaConfig, steps: int) -> int:
    """The last step, from 1, whose mask is made from attention; 0 if there is none."""
    if config.mask_mode != "union":
        return 0
    return min(look_steps(config, steps), default=steps + 1) - 1


def last_recorded_step(config: NimaConfig, steps: int) -> int:
    """The last step, from 1, whose attention is used in a mask; 0 if there is none."""
    looks, last = look_steps(config, steps), last_attention_step(config, steps)
    if looks and config.subject_map == "identity":
        return max(looks)
    if not looks or config.blend_start <= last / steps:
        return last
    return 0  # no step before the first look is blended


def evaluations(config: NimaConfig, finder: SubjectFinder, steps: int) -> int:
    """Network evaluations that each edit needs for its silhouettes."""
    return 0 if config.subject_map == "identity" else len(look_steps(config, steps)) * finder.base_map_evaluations


def running_mean(mean_map: Mask, attention: AttentionMap, momentum: float) -> Mask:
    """Update the mean of the steps' normalized attention maps, which starts from the source mask.

    The maps of the first, noisiest steps are diffuse.
    """
    attention = mask_ops.resize(attention, (mean_map.shape[2], mean_map.shape[3]))
    return momentum * mean_map + (1 - momentum) * mask_ops.min_max_normalize(attention)


def of_source(source: Source, config: NimaConfig) -> EditMask:
    """The source's mask alone."""
    silhouette = source.silhouette
    return EditMask(source.mask, torch.ones_like(silhouette) if config.mask_mode == "none" else silhouette)


def of_attention(source: Source, mean_map: Mask, config: NimaConfig) -> EditMask:
    """The union of the source's mask and the one of the target's attention (the paper's M_s and M_e)."""
    target_mask = mask_ops.subject_mask(mean_map, threshold=config.threshold, dilation=config.dilation)
    latents = mask_ops.union(source.mask, target_mask)
    return EditMask(latents, F.interpolate(latents, (source.silhouette.shape[2], source.silhouette.shape[3])))


def of_silhouettes(source: Source, silhouettes: PixelMask, config: NimaConfig) -> EditMask:
    """The union of the source's mask and the regions that the subject entered and left."""
    entered, left = segmentation.changed_regions(
        source.silhouette, silhouettes, opening=config.opening, halo=config.halo
    )
    pixels = mask_ops.union(source.silhouette, entered, left)
    latent_size = (source.mask.shape[2], source.mask.shape[3])
    latents = mask_ops.union(
        source.mask,
        segmentation.to_latent_mask(pixels, latent_size, config.coverage),
        segmentation.to_latent_mask(left, latent_size, 0.0),
    )
    return EditMask(latents, pixels)


def find_subject(
    session: EditSession,
    finder: SubjectFinder,
    x_0: Latents,
    mean_map: Mask,
    config: NimaConfig,
    on_preview: OnPreview,
) -> PixelMask:
    """Decode the edits so far, show them as a preview, and return the subject's dilated silhouettes in them."""
    with torch.no_grad():
        images = sdxl.decode_pixels(session.model, x_0).clamp(-1, 1)
    on_preview(to_images(images))
    recorded = mean_map if config.subject_map == "identity" else None
    return mask_ops.dilate(finder.silhouette(images, x_0, session.target_prompts, recorded), config.dilation)
