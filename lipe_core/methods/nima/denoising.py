"""NIMA's steps 2 and 3: the subject moves while the background follows the source's trajectory. LIPE, section 3.3.

https://arxiv.org/abs/2406.17236
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F

from lipe_core.diffusion.ddim import OnStep, Trajectory, ddim_step, unit_noise
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.masks import mask_ops, segmentation
from lipe_core.masks.mask_ops import blend
from lipe_core.masks.recording import Branch
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.shapes import Latents, Mask, PixelMask


def renoised(trajectory: Trajectory, source_mask: Mask, seeds: Sequence[int], amount: float) -> Latents:
    """The trajectory's noisy end, one row for each seed, inside the mask partly the seed's own noise.

    Variances add up: sqrt(1 - a) old + sqrt(a) new has the old one's deviation where both are independent. What
    the noisiest level still shows of the picture goes with the noise, or it would bring the old silhouette back.
    """
    x_T = trajectory.x_T
    fresh = unit_noise(seeds, (x_T.shape[1], x_T.shape[2], x_T.shape[3])).to(x_T)
    share = amount * source_mask
    return (1 - share).sqrt() * x_T + share.sqrt() * fresh


def edit_latents(
    branch: Branch,
    schedule: NoiseSchedule,
    trajectory: Trajectory,
    x_T: Latents,
    source_mask: Mask,
    silhouette: PixelMask,
    config: NimaConfig,
    look: Callable[[Latents, Mask | None], PixelMask],
    on_step: OnStep,
) -> tuple[Latents, PixelMask]:
    """Steps 2 and 3: denoise x_T towards the target prompts while the background follows the trajectory.

    Returns the clean latents, and to the pixel what changed: the subject's old and new silhouette.
    The running mean of the target's maps starts from the source mask, because the first, noisiest maps are diffuse.
    `look(x_0, maps)` finds silhouettes in the edit so far, from its own maps where the config asks for these.
    """
    x_t, edit_mask, seen = x_T, source_mask, source_mask
    changed = torch.ones_like(silhouette) if config.mask_mode == "none" else silhouette
    latent_size, pixel_size = (x_T.shape[2], x_T.shape[3]), (silhouette.shape[2], silhouette.shape[3])
    grid = trajectory.timesteps.tolist()
    steps = len(grid) - 1
    looks, last_watched = look_steps(config, steps), last_watched_step(config, steps)
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        progress = step / steps
        if step > last_watched:
            eps = branch.denoise(x_t, t)
        else:
            eps, target_map = branch.attend(x_t, t)
            target_map = mask_ops.min_max_normalize(mask_ops.resize(target_map, latent_size))
            seen = config.map_momentum * seen + (1 - config.map_momentum) * target_map
        if config.mask_mode == "union" and step < min(looks, default=steps + 1):
            target_mask = mask_ops.subject_mask(seen, threshold=config.threshold, dilation=config.dilation)
            edit_mask = mask_ops.union(source_mask, target_mask)
            changed = F.interpolate(edit_mask, pixel_size)
        elif config.mask_mode == "union" and step in looks:
            found = look(ddim_step(schedule, x_t, eps, t, 0), seen if config.subject_map == "identity" else None)
            arrived, left = segmentation.moved(silhouette, found, opening=config.opening, halo=config.halo)
            changed = mask_ops.union(silhouette, arrived, left)
            edit_mask = mask_ops.union(
                source_mask,
                segmentation.cells(changed, latent_size, config.coverage),
                segmentation.cells(left, latent_size, 0.0),
            )
        x_t = ddim_step(schedule, x_t, eps, t, s)
        if config.blend_start <= progress <= config.blend_stop:
            x_t = blend(x_t, trajectory.at(s).expand_as(x_t), edit_mask)
        on_step(step, steps)
    return x_t, changed


def look_steps(config: NimaConfig, steps: int) -> set[int]:
    """The steps, from 1, at which the edit so far is looked at."""
    return {math.ceil(look * steps) for look in config.looks}


def last_watched_step(config: NimaConfig, steps: int) -> int:
    """The last step, from 1, whose attention has a part in a mask; 0 if none has."""
    looks = look_steps(config, steps)
    if config.mask_mode != "union":
        return 0
    if not looks:
        return steps
    if config.subject_map == "identity":
        return max(looks)
    before = min(looks) - 1  # and of these only what is blended needs a mask
    return before if config.blend_start <= before / steps else 0
