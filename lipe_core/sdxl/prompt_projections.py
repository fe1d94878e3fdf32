"""Keys and values of a batch of prompts, projected once for all calls of the network with these prompts.

Cross-attention projects the prompts in every call, which gives the same each time: in SDXL 140 of 1,858 kernels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import linear

Weights = tuple[Tensor, int]
"""A weight's memory, which is held so that no other weight can lie there, and how often it was overwritten."""


@dataclass(frozen=True)
class PromptProjections:
    """The keys and values of `prompts`, by layer, which the first call makes and later calls read.

    Rows of SDXL's prompts take 13 MB each in half precision. A call with other prompts, or with other weights since,
    projects as ever. Layers that an adapter trains are left as they are.
    """

    prompts: Tensor
    layers: dict[str, nn.Linear]
    _made: dict[str, tuple[Weights, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, unet: Any, prompts: Tensor) -> "PromptProjections":
        """For all layers of cross-attention."""
        found = {
            name: layer
            for name, layer in unet.named_modules()
            if name.endswith((".attn2.to_k", ".attn2.to_v")) and type(layer) is nn.Linear
        }
        return cls(prompts, found)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Context manager in which the layers read what is made."""
        # Around each call of the network. `Module.__setattr__` would take ten times as long.
        for name, layer in self.layers.items():
            layer.__dict__["forward"] = partial(self._project, name, layer)
        try:
            yield
        finally:
            for layer in self.layers.values():
                layer.__dict__.pop("forward", None)

    def _project(self, name: str, layer: nn.Linear, x: Tensor) -> Tensor:
        if x is not self.prompts:
            return linear(x, layer.weight, layer.bias)
        weight, kept = layer.weight, self._made.get(name)
        if kept is None or kept[0][0].data_ptr() != weight.data_ptr() or kept[0][1] != weight._version:
            kept = self._made[name] = (weight.data, weight._version), linear(x, weight, layer.bias)
        return kept[1]
