"""Inversion of a rectified flow by predictor and corrector: second order, with one evaluation for each step.

Sampling moves from t to s by Euler's step with the velocity at (x_t, t). Its exact inverse has this velocity on both
sides: x_t = x_s + (sigma_t - sigma_s) v(x_t, t). The predictor is Euler's step with the velocity of the step before,
which is evaluated already. The corrector is the step with the velocity at the predicted x_t. This is Uni-Inv of
UniEdit-Flow, Jiao et al. (https://arxiv.org/abs/2504.13109).
"""

from itertools import pairwise

import torch

from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, no_progress
from lipe_core.diffusion.flow import FlowSchedule
from lipe_core.shapes import Latents, Timesteps


def invert_flow(
    denoise: Denoiser,
    schedule: FlowSchedule,
    x_0: Latents,
    timesteps: Timesteps,
    *,
    on_step: OnStep = no_progress,
) -> Trajectory:
    """The trajectory from x_0 to the noise from which `ddim.sample` reconstructs x_0: `steps + 1` evaluations.

    The error of the predicted velocity is of second order in the step, so that the error of a round trip is, too. That
    of Euler's step with the velocity at (x_s, s) is of first order. The evaluation at the clean end is the first
    predictor, which is worth it: the grid's longest step begins there.
    """
    grid = timesteps.tolist()
    latents, velocity = [x_0], _velocity(denoise, schedule, x_0, grid[0])
    for step, (s, t) in enumerate(pairwise(grid), start=1):
        x_s, length = latents[-1], schedule.sigma(t) - schedule.sigma(s)
        predicted = (x_s + length * velocity).to(x_s.dtype)
        velocity = _velocity(denoise, schedule, predicted, t)
        latents.append((x_s + length * velocity).to(x_s.dtype))
        on_step(step, len(grid) - 1)
    return Trajectory(timesteps, torch.stack(latents))


def _velocity(denoise: Denoiser, schedule: FlowSchedule, x_t: Latents, t: int) -> Latents:
    """The velocity eps - x_0 that belongs to the denoiser's eps. At the noisy end, that has to be float64."""
    velocity: Latents = (denoise(x_t, t) - x_t) / schedule.alpha(t)
    return velocity
