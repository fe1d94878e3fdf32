"""The source's self-attention features, recorded during the inversion and read during the edit.

Mutual self-attention (MasaCtrl, https://arxiv.org/abs/2304.08465), but the target reads the source's keys and values
beside its own, not in their place: what the source does not show, such as another expression, still comes from the
prompt. The inversion passes every level of the trajectory anyway, so this costs no evaluation, only memory: the hidden
states that enter the later self-attention layers (SDXL at 1024 pixels in half precision: some 84 MB a step).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor

from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.shapes import Latents, Timesteps

LATE = 10 / 16
"""L = 10 of Stable Diffusion 1's 16 self-attention layers, MasaCtrl's default, as a share of the network's layers. The
later layers are the decoder's finer levels, which decide appearance; the earlier ones decide the layout."""


@dataclass
class SourceFeatures:
    """One source's hidden states at each late layer and timestep, up to the timestep `latest`."""

    latest: int
    states: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    _timestep: int | None = None

    def at_timestep(self, denoise: Denoiser) -> Denoiser:
        """The same denoiser, during whose calls the layers record or read the features of its timestep."""

        def timed(x_t: Latents, t: int) -> Latents:
            self._timestep = t if t <= self.latest else None
            try:
                return denoise(x_t, t)
            finally:
                self._timestep = None

        return timed

    @contextmanager
    def recorded(self, model: BaseModel) -> Iterator[None]:
        """Context manager in which the late layers record the batch's last row."""
        with model.visited_attention(LATE, self._record):
            yield

    @contextmanager
    def used(self, model: BaseModel) -> Iterator[None]:
        """Context manager in which the late layers read the recorded features beside the image's own."""
        with model.visited_attention(LATE, self._read):
            yield

    def _record(self, name: str, hidden_states: Tensor) -> None:
        if self._timestep is not None:
            self.states[name, self._timestep] = hidden_states[-1:].clone()  # a view would keep all rows

    def _read(self, name: str, hidden_states: Tensor) -> Tensor | None:
        source = self.states.get((name, self._timestep)) if self._timestep is not None else None
        return None if source is None else source.expand(len(hidden_states), -1, -1)


def latest_lookup(timesteps: Timesteps, start: float) -> int:
    """The noisiest timestep at which an edit reads the source, if it does after the progress `start`; -1 = never."""
    steps = len(timesteps) - 1
    left = steps - math.floor(start * steps)
    return int(timesteps[left]) if left else -1
