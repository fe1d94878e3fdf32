"""What the network saw of the source while it was inverted, for the edit to look things up in.

Mutual self-attention (MasaCtrl, https://arxiv.org/abs/2304.08465), but the target reads the source's keys and values
beside its own, not in their place: what the source does not show, such as another expression, stays the prompt's. The
inversion passes every level of the trajectory anyway, so this costs no evaluation, only memory: the hidden states that
enter the later self-attention layers (SDXL at 1024 pixels in half precision: some 84 MB a step).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from lipe_core.sdxl import Processor, self_attention_layers, use_processors
from lipe_core.shapes import Latents

Answer = TypeVar("Answer")

LATE = 10 / 16
"""L = 10 of Stable Diffusion 1's 16 self-attention layers, MasaCtrl's default, as a share of the way through the
network: the decoder's finer levels, which say what things look like; where they are is said before."""


@dataclass
class SourceFeatures:
    """One source's hidden states at each late layer and timestep; those noisier than `latest` are of no interest."""

    latest: int
    seen: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    _now: int | None = None

    def at(self, denoise: Callable[[Latents, int], Answer]) -> Callable[[Latents, int], Answer]:
        """The same denoiser, during which layers know the timestep and keep, or read, what belongs to it."""

        def timed(x_t: Latents, t: int) -> Answer:
            self._now = t if t <= self.latest else None
            try:
                return denoise(x_t, t)
            finally:
                self._now = None

        return timed

    @contextmanager
    def kept(self, unet: Any) -> Iterator[None]:
        """Inside, a denoiser that is `at` its timestep leaves what its last row shows the late layers."""
        with self._layers(unet, self._keep):
            yield

    @contextmanager
    def read(self, unet: Any) -> Iterator[None]:
        """Inside, a denoiser that is `at` its timestep looks up in the source, too, if that was seen there."""
        with self._layers(unet, self._read):
            yield

    @contextmanager
    def _layers(self, unet: Any, attend: Callable[[str, Processor], Processor]) -> Iterator[None]:
        late = set(late_layers(unet, LATE))
        with use_processors(unet, lambda name, old: attend(name, old) if name in late else old):
            yield

    def _keep(self, name: str, inner: Processor) -> Processor:
        def attend(attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if self._now is not None:
                self.seen[name, self._now] = hidden_states[-1:].clone()  # a view would keep all rows
            return inner(attn, hidden_states, *args, **kwargs)

        return attend

    def _read(self, name: str, inner: Processor) -> Processor:
        def attend(attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            source = self.seen.get((name, self._now)) if self._now is not None else None
            if source is None:
                return inner(attn, hidden_states, *args, **kwargs)
            both = torch.cat([hidden_states, source.expand(len(hidden_states), -1, -1)], dim=1)
            return inner(attn, hidden_states, both)

        return attend


def late_layers(unet: Any, share: float) -> list[str]:
    """The self-attention layers behind that share of all of them."""
    names = self_attention_layers(unet)
    return names[round(share * len(names)) :]
