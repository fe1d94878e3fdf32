"""DDIM sampling and inversion, with the deterministic step of https://arxiv.org/abs/2010.02502, eq. 13."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from lipe_core.diffusion.schedule import Schedule
from lipe_core.shapes import Latents, Timesteps

Denoiser = Callable[[Latents, int], Latents]
"""(x_t, t) -> the noise eps in x_t."""

OnStep = Callable[[int, int], None]
"""Called with (step, steps) after each step; it may raise an error to stop the work."""


def no_progress(step: int, steps: int) -> None:
    """Ignore the progress."""


def ddim_step(schedule: Schedule, x_t: Latents, eps: Latents, t: int, s: int) -> Latents:
    """Move x_t from noise level t to s, in either direction, with eps held constant. A finer eps is not rounded."""
    x_0 = (x_t - schedule.sigma(t) * eps) / schedule.alpha(t)
    return (schedule.alpha(s) * x_0 + schedule.sigma(s) * eps).to(x_t.dtype)


@dataclass(frozen=True)
class Trajectory:
    """An image's latents at every timestep of a grid, from clean to noisy."""

    timesteps: Timesteps
    latents: Float[Tensor, "k b c h w"]

    @property
    def x_0(self) -> Latents:
        """The clean end."""
        return self.latents[0]

    @property
    def x_T(self) -> Latents:
        """The noisy end."""
        return self.latents[-1]

    def until(self, step: int) -> "Trajectory":
        """The part between the clean end and timestep number `step` of the grid."""
        return Trajectory(self.timesteps[: step + 1], self.latents[: step + 1])

    def at(self, t: int) -> Latents:
        """The latents at timestep `t` of the grid."""
        return self.latents[self.timesteps.tolist().index(t)]


def invert(
    denoise: Denoiser,
    schedule: Schedule,
    x_0: Latents,
    timesteps: Timesteps,
    *,
    on_step: OnStep = no_progress,
) -> Trajectory:
    """DDIM inversion: the trajectory from x_0 to the noise from which `sample` reconstructs x_0.

    The step s -> t predicts the noise at (x_s, s), while sampling back predicts it at (x_t, t): an error that grows
    with the step size.
    """
    latents = [x_0]
    grid = timesteps.tolist()
    for step, (s, t) in enumerate(pairwise(grid), start=1):
        x_s = latents[-1]
        latents.append(ddim_step(schedule, x_s, denoise(x_s, s), s, t))
        on_step(step, len(grid) - 1)
    return Trajectory(timesteps, torch.stack(latents))


def sample(
    denoise: Denoiser,
    schedule: Schedule,
    x_T: Latents,
    timesteps: Timesteps,
    *,
    on_step: OnStep = no_progress,
) -> Latents:
    """Denoise x_T along the grid to the clean latents."""
    x_t = x_T
    grid = timesteps.tolist()
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        x_t = ddim_step(schedule, x_t, denoise(x_t, t), t, s)
        on_step(step, len(grid) - 1)
    return x_t


def unit_noise(seeds: Sequence[int], shape: tuple[int, int, int]) -> Float[Tensor, "b c h w"]:
    """Standard normal latents drawn on the CPU. Row k depends on `seeds[k]` only, not on the batch."""
    rows = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows)
