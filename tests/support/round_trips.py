"""The error of an inversion and the sampling after it."""

from typing import Any

from torch import Tensor

from lipe_core.diffusion.ddim import Denoiser, sample


def round_trip(invert: Any, denoise: Denoiser, schedule: Any, x_0: Tensor, timesteps: Tensor) -> float:
    """The root mean square of the difference between x_0 and its reconstruction."""
    x_T = invert(denoise, schedule, x_0, timesteps).x_T
    return float((sample(denoise, schedule, x_T, timesteps) - x_0).square().mean().sqrt())
