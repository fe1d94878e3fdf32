"""Sampling from noise that keeps an image outside a mask: SDEdit's algorithm 2 (https://arxiv.org/abs/2108.01073).

Section 3.2. After each step, the latents outside the mask become those of the image with the same noise.
"""

from itertools import pairwise

import torch

from lipe_core.diffusion.ddim import Denoiser, OnStep, ddim_step
from lipe_core.diffusion.schedule import Schedule
from lipe_core.masks.mask_ops import blend
from lipe_core.shapes import Latents, Mask, Timesteps


def sample_inside(
    denoise: Denoiser,
    schedule: Schedule,
    x_0: Latents,
    noise: Latents,
    timesteps: Timesteps,
    mask: Mask | None,
    on_step: OnStep,
) -> Latents:
    """Noise x_0 to the grid's end and denoise it. Outside the mask, each step returns to the noised x_0."""
    grid = timesteps.tolist()
    x_t = _noised(schedule, x_0, noise, grid[-1])
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        x_t = ddim_step(schedule, x_t, denoise(x_t, t), t, s)
        if mask is not None:
            x_t = blend(x_t, _noised(schedule, x_0, noise, s) if s else x_0, mask)
        on_step(step, len(grid) - 1)
    return x_t


def _noised(schedule: Schedule, x_0: Latents, noise: Latents, t: int) -> Latents:
    return schedule.add_noise(x_0, noise, torch.full((len(x_0),), t, device=x_0.device))
