"""Noise levels: x_t = alpha_t x_0 + sigma_t eps, with alpha_t^2 = alphas_cumprod[t] and alpha_t^2 +
sigma_t^2 = 1.

Denoising Diffusion Implicit Models, https://arxiv.org/abs/2010.02502; the spacings of a coarse grid are
table 2 of https://arxiv.org/abs/2305.08891. The schedule is an immutable table, not a stateful scheduler, so that
inversion and sampling always use the same levels.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from lipe_core.shapes import Latents, PerRow, RowTimesteps, Timesteps

PredictionType = Literal["epsilon", "v_prediction", "flow"]
Spacing = Literal["leading", "trailing", "linspace"]


class Schedule(ABC):
    """Noise levels by integer timestep: x_t = alpha_t x_0 + sigma_t eps. Timestep 0 is the clean end.

    Subclasses define the network's prediction and the spacing of a coarse grid.
    """

    @property
    @abstractmethod
    def levels(self) -> int:
        """The number of noise levels; timesteps are 0 .. levels - 1."""

    @abstractmethod
    def alpha(self, t: int) -> float:
        """Weight of x_0 in x_t."""

    @abstractmethod
    def sigma(self, t: int) -> float:
        """Weight of eps in x_t."""

    @abstractmethod
    def snr(self, t: RowTimesteps) -> PerRow:
        """Signal-to-noise ratio alpha_t^2 / sigma_t^2; infinite where sigma_t is 0."""

    @abstractmethod
    def target(self, x_0: Latents, eps: Latents, t: RowTimesteps, prediction_type: PredictionType) -> Latents:
        """The training target of a network of this prediction type."""

    @abstractmethod
    def to_eps(self, prediction: Latents, x_t: Latents, t: RowTimesteps, prediction_type: PredictionType) -> Latents:
        """The noise in x_t according to a prediction."""

    def add_noise(self, x_0: Latents, eps: Latents, t: RowTimesteps) -> Latents:
        """x_t = alpha_t x_0 + sigma_t eps, each row at its own timestep."""
        alpha, sigma = self._weights(t, x_0)
        return alpha * x_0 + sigma * eps

    @abstractmethod
    def _weights(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha_t and sigma_t of each row, "b 1 1 1", with the device and precision of `like`."""


@dataclass(frozen=True)
class NoiseSchedule(Schedule):
    """A checkpoint's noise levels and its spacing of a coarse grid over them.

    `alphas_cumprod[t]` decreases with t. Entry 0 is the clean end of every grid: 1 where the checkpoint sets
    `set_alpha_to_one`, else the first trained level (SDXL).
    """

    alphas_cumprod: Float[Tensor, "levels"]
    spacing: Spacing = "leading"
    steps_offset: int = 1

    @classmethod
    def scaled_linear(cls, start: float = 0.00085, end: float = 0.012, levels: int = 1000) -> "NoiseSchedule":
        """Stable Diffusion's table: betas linear in their square root."""
        betas = torch.linspace(start**0.5, end**0.5, levels, dtype=torch.float32) ** 2
        return cls(torch.cumprod(1 - betas, dim=0))

    @property
    def levels(self) -> int:
        """The number of noise levels (1000 in SDXL); timesteps are 0 .. levels - 1."""
        return len(self.alphas_cumprod)

    def timesteps(self, steps: int) -> Timesteps:
        """The grid of `steps` denoising steps: `steps + 1` timesteps, ascending, the first one 0 = clean.

        Equal to the timesteps of diffusers' schedulers, except that a grid which evaluates the network at timestep 0
        evaluates it at 1 here, because 0 is the clean end.
        """
        self._check(steps)
        if self.spacing == "leading":
            grid = torch.arange(steps) * (self.levels // steps) + self.steps_offset
        elif self.spacing == "trailing":
            grid = torch.arange(self.levels, 0, -self.levels / steps, dtype=torch.float64).round().long() - 1
            grid = grid[:steps].flip(0)
        else:
            grid = torch.linspace(0, self.levels - 1, steps, dtype=torch.float64).round().long()
        return torch.cat([torch.zeros(1, dtype=torch.long), grid.clamp(1, self.levels - 1)])

    def leaning_timesteps(self, steps: int, lean: float) -> Timesteps:
        """The grid of `steps` denoising steps from the noisiest level to the clean end, shorter at the noisy end.

        `steps + 1` timesteps, ascending: t = (levels - 1) lean u / (1 + (lean - 1) u) for evenly spaced u in [0, 1].
        A `lean` of 1 is an even grid.
        """
        self._check(steps)
        u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        grid = (lean * u / (1 + (lean - 1) * u) * (self.levels - 1)).round().long()
        number = torch.arange(steps + 1)
        return grid.clamp(number, self.levels - 1 - steps + number)  # a fine grid would repeat its last timesteps

    def _check(self, steps: int) -> None:
        if not 1 <= steps < self.levels:
            raise ValueError(f"steps must be between 1 and {self.levels - 1}, got {steps}")

    def alpha(self, t: int) -> float:
        """Weight of x_0 in x_t."""
        return float(self.alphas_cumprod[t].double().sqrt())

    def sigma(self, t: int) -> float:
        """Weight of eps in x_t."""
        return float((1 - self.alphas_cumprod[t].double()).sqrt())

    def snr(self, t: RowTimesteps) -> PerRow:
        """Signal-to-noise ratio alpha_t^2 / sigma_t^2; infinite where alpha_t is 1."""
        level = self.alphas_cumprod.to(t.device)[t]
        return level / (1 - level)

    def velocity(self, x_0: Latents, eps: Latents, t: RowTimesteps) -> Latents:
        """v = alpha_t eps - sigma_t x_0 (https://arxiv.org/abs/2202.00512, appendix D)."""
        alpha, sigma = self._weights(t, x_0)
        return alpha * eps - sigma * x_0

    def target(self, x_0: Latents, eps: Latents, t: RowTimesteps, prediction_type: PredictionType) -> Latents:
        """The training target of a network of this prediction type."""
        return eps if prediction_type == "epsilon" else self.velocity(x_0, eps, t)

    def to_eps(self, prediction: Latents, x_t: Latents, t: RowTimesteps, prediction_type: PredictionType) -> Latents:
        """The noise in x_t according to a prediction of either type."""
        if prediction_type == "epsilon":
            return prediction
        alpha, sigma = self._weights(t, x_t)
        return alpha * prediction + sigma * x_t

    def _weights(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        level = rearrange(self.alphas_cumprod.to(t.device)[t].double(), "b -> b 1 1 1")
        return level.sqrt().to(like), (1 - level).sqrt().to(like)
