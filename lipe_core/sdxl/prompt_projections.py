"""Keys and values of a batch of prompts, projected once for all calls of the network with these prompts.

Cross-attention projects the prompts in every call, which gives the same each time: in SDXL 140 of 1,858 kernels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from lipe_core.quantization import QuantizedLinear

Weights = list[tuple[Tensor, int]]
"""Each weight's memory, which is held so that no other weight can lie there, and how often it was overwritten."""


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
            if name.endswith((".attn2.to_k", ".attn2.to_v")) and type(layer) in (nn.Linear, QuantizedLinear)
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
            return type(layer).forward(layer, x)
        weights, kept = list(layer.parameters()), self._made.get(name)
        if kept is None or not _are_same(kept[0], weights):
            kept = self._made[name] = [(each.data, each._version) for each in weights], type(layer).forward(layer, x)
        return kept[1]


def _are_same(kept: Weights, weights: Sequence[Tensor]) -> bool:
    return all(
        memory.data_ptr() == weight.data_ptr() and version == weight._version
        for (memory, version), weight in zip(kept, weights, strict=True)
    )
