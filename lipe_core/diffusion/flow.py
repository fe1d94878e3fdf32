"""Rectified flow: x_t = (1 - s) x_0 + s eps, with the noise level s in [0, 1] and the velocity eps - x_0.

Scaling Rectified Flow Transformers, Esser et al. (https://arxiv.org/abs/2403.03206), section 2; its section 5.3.2 has
the shift of a grid towards noise for larger images. FLUX.2 computes that shift from the numbers of tokens and of steps.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from lipe_core.diffusion.schedule import PredictionType, Schedule
from lipe_core.shapes import Latents, PerRow, RowTimesteps, Timesteps

LEVELS = 2**16 + 1
"""Timesteps 0 .. 65536 for s = 0 .. 1. They are so fine that rounding a grid to them changes no image visibly."""

_LEAST_ALPHA = 2.0**-24
"""alpha at s = 1, where it would be 0 and divide by 0; as for SDXL's zero terminal SNR. In x_0 it then divides a small
difference of x_t and eps, so that eps has to be float64 (`to_eps`)."""


@dataclass(frozen=True)
class FlowSchedule(Schedule):
    """The noise levels of a rectified flow, s = t / (levels - 1). One grid serves inversion and sampling."""

    @property
    def levels(self) -> int:
        """The number of noise levels."""
        return LEVELS

    def level(self, t: RowTimesteps) -> PerRow:
        """s of each row, float32: the time that the network gets."""
        return t.float() / (LEVELS - 1)

    def timesteps(self, steps: int, tokens: int) -> Timesteps:
        """The grid of `steps` denoising steps for an image of `tokens` tokens: `steps + 1` timesteps, ascending.

        s = e^mu u / (1 + (e^mu - 1) u) for evenly spaced u in [0, 1]: diffusers' grid, rounded to `LEVELS`.
        """
        if not 1 <= steps < LEVELS:
            raise ValueError(f"steps must be between 1 and {LEVELS - 1}, got {steps}")
        u, shift = torch.linspace(0, 1, steps + 1, dtype=torch.float64), math.exp(empirical_mu(steps, tokens))
        grid = (shift * u / (1 + (shift - 1) * u) * (LEVELS - 1)).round().long()
        number = torch.arange(steps + 1)
        return grid.clamp(number, LEVELS - 1 - steps + number)  # a fine grid would repeat its last timesteps

    def alpha(self, t: int) -> float:
        """Weight of x_0 in x_t."""
        return max(1 - t / (LEVELS - 1), _LEAST_ALPHA)

    def sigma(self, t: int) -> float:
        """Weight of eps in x_t."""
        return 1 - self.alpha(t)

    def snr(self, t: RowTimesteps) -> PerRow:
        """Signal-to-noise ratio (1 - s)^2 / s^2; infinite at the clean end."""
        return ((1 - self.level(t)) / self.level(t)).square()

    def target(self, x_0: Latents, eps: Latents, t: RowTimesteps, prediction_type: PredictionType) -> Latents:
        """The velocity eps - x_0, which does not depend on the noise level."""
        return eps - x_0

    def to_eps(self, prediction: Latents, x_t: Latents, t: RowTimesteps, prediction_type: PredictionType) -> Latents:
        """The noise in x_t according to a velocity: eps = x_t + (1 - s) v, in the precision of x_t."""
        alpha, _ = self._weights(t, x_t)
        return x_t + alpha * prediction

    def _weights(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha = rearrange((1 - t.double() / (LEVELS - 1)).clamp(min=_LEAST_ALPHA), "b -> b 1 1 1")
        return alpha.to(like), (1 - alpha).to(like)


def empirical_mu(steps: int, tokens: int) -> float:
    """Logarithm of the shift, as FLUX.2 fits it to the numbers of steps and of image tokens.

    `compute_empirical_mu` in diffusers' pipeline_flux2_klein.py: linear in the tokens for 10 and for 200 steps, and
    linear in the steps between them.
    """
    at_200 = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return at_200
    at_10 = 8.73809524e-05 * tokens + 1.89833333
    slope = (at_200 - at_10) / 190
    return slope * steps + at_200 - 200 * slope
