"""The source's self-attention features, recorded during the inversion and read during the edit.

Mutual self-attention (MasaCtrl, https://arxiv.org/abs/2304.08465), but the target reads the source's keys and values
beside its own, not in their place: what the source does not show, such as another expression, still comes from the
prompt. The inversion passes every level of the trajectory anyway, so this costs no evaluation, only memory: the hidden
states that enter the later self-attention layers (SDXL at 1024 pixels in half precision: some 84 MB a step).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lipe_core.backbone import BaseModel
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import Denoiser
from lipe_core.graphs import Graphs, Tensors
from lipe_core.shapes import Latents, Timesteps

LATE = 10 / 16
"""L = 10 of Stable Diffusion 1's 16 self-attention layers, MasaCtrl's default, as a share of the network's layers. The
later layers are the decoder's finer levels, which decide appearance; the earlier ones decide the layout."""


@dataclass
class SourceFeatures:
    """One source's hidden states at each late layer and timestep, up to the timestep `latest`."""

    latest: int
    states: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    _use: Literal["record", "read"] | None = None
    _layers: dict[str, Tensor] | None = None
    """The features that the present call of the network records or reads, by layer; None for a call without."""

    def at_timestep(self, denoise: Denoiser) -> Denoiser:
        """The same denoiser, during whose calls the layers record or read the features of its timestep."""

        def timed(x_t: Latents, t: int) -> Latents:
            reads = self._use == "read"
            kept = {name: state for (name, at), state in self.states.items() if at == t} if reads else {}
            self._layers = kept if t <= self.latest and (kept or not reads) else None
            try:
                result = denoise(x_t, t)
                if self._use == "record" and self._layers is not None:
                    self.states.update({(name, t): state for name, state in self._layers.items()})
                return result
            finally:
                self._layers = None

        return timed

    def network(self, model: BaseModel) -> Callable[[Conditioning], Denoiser]:
        """The model's network under any conditioning, whose layers record or read features. Replayed if it has graphs.

        Use it where no other change of the network's layers is in place.
        """
        if model.graphs is None:
            return lambda conditioning: self.at_timestep(model.denoiser(conditioning))
        replayed = partial(self._replayed, model, model.graphs)
        return lambda conditioning: self.at_timestep(replayed(conditioning))

    def _replayed(self, model: BaseModel, graphs: Graphs, conditioning: Conditioning) -> Denoiser:
        """The denoiser, whose calls are recorded and replayed with the features as inputs or outputs."""
        conditions = vars(conditioning.to(model.device, model.dtype))

        @torch.no_grad()
        def predict(inputs: Tensors) -> Tensors:
            layers = {name: tensor for name, tensor in inputs.items() if name not in ("x_t", "t", *conditions)}
            self._layers = layers if self._layers is not None else None
            given = Conditioning(**{name: inputs[name] for name in conditions})
            prediction = model.predict(inputs["x_t"], inputs["t"], given)
            return {"prediction": prediction, **(layers if self._use == "record" else {})}

        def denoise(x_t: Latents, t: int) -> Latents:
            at = torch.full((len(x_t),), t, device=x_t.device)
            kind = "features", None if self._layers is None else self._use
            made = dict(graphs.run(kind, predict, {"x_t": x_t, "t": at, **conditions, **(self._layers or {})}))
            prediction = made.pop("prediction")
            self._layers = None if self._layers is None else made
            return model.schedule.to_eps(prediction, x_t.float(), at, model.prediction_type)

        return denoise

    @contextmanager
    def recorded(self, model: BaseModel) -> Iterator[None]:
        """Context manager in which the late layers record the batch's last row."""
        with self._using("record"), model.visited_attention(LATE, self._record):
            yield

    @contextmanager
    def used(self, model: BaseModel) -> Iterator[None]:
        """Context manager in which the late layers read the recorded features beside the image's own."""
        with self._using("read"), model.visited_attention(LATE, self._read):
            yield

    @contextmanager
    def _using(self, use: Literal["record", "read"]) -> Iterator[None]:
        before, self._use = self._use, use
        try:
            yield
        finally:
            self._use = before

    def _record(self, name: str, hidden_states: Tensor) -> None:
        if self._layers is not None:
            self._layers[name] = hidden_states[-1:].clone()  # a view would keep all rows

    def _read(self, name: str, hidden_states: Tensor) -> Tensor | None:
        source = self._layers.get(name) if self._layers is not None else None
        return None if source is None else source.expand(len(hidden_states), -1, -1)


def latest_lookup(timesteps: Timesteps, start: float) -> int:
    """The noisiest timestep at which an edit reads the source, if it does after the progress `start`; -1 = never."""
    steps = len(timesteps) - 1
    left = steps - math.floor(start * steps)
    return int(timesteps[left]) if left else -1
