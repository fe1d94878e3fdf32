"""Weights of linear layers as 8-bit integers with one scale for each row.

A vision-language model of 7 billion parameters takes 14 GB in bfloat16 and 7 GB so. The weights are multiplied out
again in each call, so that no accelerator needs a kernel of its own: LLM.int8(), https://arxiv.org/abs/2208.07339,
section 2, without its outliers, because the inputs keep their precision here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LARGEST = 127


class Int8Linear(nn.Module):
    """A linear layer whose weight is rounded to 8 bits. It has no gradients."""

    weight: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        scale = (weight.abs().amax(dim=1, keepdim=True) / _LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
        self.register_buffer("weight", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale.to(layer.weight.dtype))
        self.bias = layer.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """The layer's output in the precision of the inputs."""
        weight = self.weight.to(inputs.dtype) * self.scale.to(inputs.dtype)
        return F.linear(inputs, weight, self.bias)


def quantize(network: nn.Module) -> None:
    """Replace all linear layers of the network by `Int8Linear`, one after another, so that memory never grows.

    A layer that shares its weight with another, such as an embedding, stays: a copy would take more memory.
    """
    shared = _shared_weights(network)
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is nn.Linear and layer.weight.data_ptr() not in shared:
                setattr(module, name, Int8Linear(layer))


def _shared_weights(network: nn.Module) -> set[int]:
    """The addresses of weights that two modules own."""
    seen, shared = set[int](), set[int]()
    for module in network.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                address = parameter.data_ptr()
                (shared if address in seen else seen).add(address)
    return shared
