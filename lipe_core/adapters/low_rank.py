"""A linear layer with a low-rank addition, W x + s B A x, as one operation with its own gradient.

LoRA, https://arxiv.org/abs/2106.09685, section 4.1. Written as separate layers, it is a dozen small operations per
projection, and twice as many in the backward pass. With one image per batch they take a tenth of a training step.
The backward pass needs only the layer's input and A x.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def low_rank_linear(
    x: Float[Tensor, "*rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None,
    down: Float[Tensor, "rank inputs"],
    up: Float[Tensor, "outputs rank"],
    scale: float,
) -> Float[Tensor, "*rows outputs"]:
    """W x + b + s B A x, where `down` is A and `up` is B. x, A and B get gradients, W and b do not.

    Under autocast it computes in autocast's dtype, as `torch.nn.functional.linear` does.
    """
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    inputs = x.to(dtype), weight.to(dtype), bias if bias is None else bias.to(dtype), down.to(dtype), up.to(dtype)
    output: Tensor = _LowRankLinear.apply(*inputs, scale)  # type: ignore[no-untyped-call]
    return output


class _LowRankLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.T
        output = rows @ weight.T if bias is None else torch.addmm(bias, rows, weight.T)
        output.addmm_(inner, up.T, alpha=scale)
        ctx.save_for_backward(rows, inner, weight, down, up)
        ctx.scale = scale
        return output.view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, inner, weight, down, up = ctx.saved_tensors
        d_output = gradient.reshape(-1, gradient.shape[-1])
        d_inner = (d_output @ up).mul_(ctx.scale)
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = (d_output @ weight).addmm_(d_inner, down).view(*gradient.shape[:-1], rows.shape[-1])
        return d_x, None, None, d_inner.T @ rows, (d_output.T @ inner).mul_(ctx.scale), None
