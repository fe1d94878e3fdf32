"""Linear layers whose frozen weights are 8-bit numbers, with one scale for each output.

They take half the memory of bfloat16. The weights are multiplied out again in each call, forwards and backwards, so
that no GPU needs a kernel of its own: LLM.int8(), https://arxiv.org/abs/2208.07339, section 2, without its outliers,
because inputs and gradients keep their precision here. A LoRA stays beside such weights, as in QLoRA
(https://arxiv.org/abs/2305.14314, section 3): added to them, its small changes would be rounded away.

torchao 0.18 does not serve here. In its layers, a backward pass keeps the multiplied weights of all layers, which takes
more memory than bfloat16. Its weights have no address, by which recorded graphs know them, and cannot be transposed.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipe_core.precision import compute_dtype

_LARGEST = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
"""The largest number of each 8-bit type."""


class QuantizedLinear(nn.Linear):
    """A linear layer with a frozen weight of 8 bits, and a low-rank product up @ down beside it.

    `down` and `up` have no rows and columns until an adapter is applied. Gradients flow to the input alone.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, layer: nn.Linear, dtype: torch.dtype = torch.int8) -> None:
        nn.Module.__init__(self)  # that of nn.Linear would make a weight
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        weight, scale = quantized(layer.weight.detach(), dtype)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.down = nn.Parameter(scale.new_zeros(0, self.in_features), requires_grad=False)
        self.up = nn.Parameter(scale.new_zeros(self.out_features, 0), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        """The layer's output in the precision of the input, or of autocast."""
        dtype = compute_dtype(input)
        x, bias = input.to(dtype), None if self.bias is None else self.bias.to(dtype)
        output: Tensor = _FrozenLinear.apply(x, self.weight, self.scale, bias)  # type: ignore[no-untyped-call]
        if len(self.down):
            output = output + F.linear(F.linear(x, self.down.to(dtype)), self.up.to(dtype))
        return output


class _FrozenLinear(torch.autograd.Function):
    """Keeps the 8-bit weight for the backward pass, and not the multiplied one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return F.linear(x, multiplied(weight, scale, x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale = ctx.saved_tensors
        return gradient @ multiplied(weight, scale, gradient.dtype), None, None, None


def quantized(weight: Tensor, dtype: torch.dtype = torch.int8) -> tuple[Tensor, Tensor]:
    """The weight in 8 bits, and the scale of each row in the weight's precision: their product is nearly the weight."""
    largest, smallest = _LARGEST[dtype], torch.finfo(weight.dtype).tiny
    values = weight.float()
    # Rounded first: a scale that is rounded afterwards would be an error of the same sign in a whole row.
    scale = (values.abs().amax(dim=1, keepdim=True) / largest).to(weight.dtype).clamp(min=smallest)
    steps = (values / scale.float()).clamp(-largest, largest)
    return (steps if dtype.is_floating_point else steps.round()).to(dtype), scale


def multiplied(weight: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The weight in a precision that can be computed with. Without a scale, it is a weight of more than 8 bits."""
    return weight.to(dtype) if scale is None else weight.to(dtype) * scale.to(dtype)


def quantize(
    network: nn.Module, dtype: torch.dtype = torch.int8, is_wanted: Callable[[str], bool] = lambda name: True
) -> None:
    """Replace the linear layers by `QuantizedLinear`, one after another, so that memory never grows.

    `is_wanted` chooses them by name. A layer that shares its weight with another, such as an embedding, stays: a copy
    would take more memory.
    """
    shared = _shared_weights(network)
    for path, module in list(network.named_modules()):
        for name, layer in list(module.named_children()):
            full_name = f"{path}.{name}" if path else name
            if type(layer) is nn.Linear and id(layer.weight) not in shared and is_wanted(full_name):
                setattr(module, name, QuantizedLinear(layer, dtype))


def is_quantized(network: nn.Module) -> bool:
    """Whether the network has layers with 8-bit weights."""
    return any(isinstance(module, QuantizedLinear) for module in network.modules())


def weight_bytes(network: nn.Module) -> int:
    """Bytes of all weights of a network, of those in 8 bits, too."""
    return sum(tensor.nbytes for tensor in [*network.parameters(), *network.buffers()])


def _shared_weights(network: nn.Module) -> set[int]:
    """The identities of weights that two modules own."""
    seen, shared = set[int](), set[int]()
    for module in network.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                (shared if id(parameter) in seen else seen).add(id(parameter))
    return shared
