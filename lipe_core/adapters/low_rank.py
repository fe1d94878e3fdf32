"""A linear layer with a low-rank addition, W x + s B A x, as one operation with its own gradient.

LoRA, https://arxiv.org/abs/2106.09685, section 4.1. Written as separate layers, it is a dozen small operations per
projection, and twice as many in the backward pass. With one image per batch they take a tenth of a training step.
The backward pass needs only the layer's input and A x.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lipe_core.precision import compute_dtype
from lipe_core.quantization import multiplied


@dataclass(frozen=True)
class LowRank:
    """A (`down`), B (`up`) and s of one layer, and where the backward pass writes the gradients of A and B.

    The gradients lack the factor `scale`, which a caller multiplies into those of all layers at once. Autograd needs
    `trained`, a tensor that requires a gradient, to run the backward pass of a layer whose input requires none.
    """

    down: Float[Tensor, "rank inputs"]
    up: Float[Tensor, "outputs rank"]
    d_down: Float[Tensor, "rank inputs"]
    d_up: Float[Tensor, "outputs rank"]
    scale: float
    trained: Tensor


def low_rank_linear(
    x: Float[Tensor, "*rows inputs"],
    weight: Shaped[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None,
    added: LowRank,
    weight_scale: Float[Tensor, "outputs 1"] | None = None,
) -> Float[Tensor, "*rows outputs"]:
    """W x + b + s B A x. x gets a gradient, W and b do not; those of A and B overwrite `d_down` and `d_up`.

    With `weight_scale`, W is a weight in 8 bits (`quantization`). Under autocast it computes in autocast's dtype, as
    `torch.nn.functional.linear` does.
    """
    dtype = compute_dtype(x)
    frozen = weight.to(dtype) if weight_scale is None else weight
    inputs = x.to(dtype), frozen, bias if bias is None else bias.to(dtype)
    output: Tensor = _LowRankLinear.apply(*inputs, added.trained, added, weight_scale)  # type: ignore[no-untyped-call]
    return output


class _LowRankLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        trained: Tensor,
        added: LowRank,
        weight_scale: Tensor | None,
    ) -> Tensor:
        rows, down, up = x.reshape(-1, x.shape[-1]), added.down.to(x.dtype), added.up.to(x.dtype)
        full = multiplied(weight, weight_scale, x.dtype)
        inner = rows @ down.T
        output = rows @ full.T if bias is None else torch.addmm(bias, rows, full.T)
        output.addmm_(inner, up.T, alpha=added.scale)
        ctx.save_for_backward(rows, inner, weight, down, up)
        ctx.added, ctx.weight_scale = added, weight_scale
        return output.view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, inner, weight, down, up = ctx.saved_tensors
        added: LowRank = ctx.added
        d_output = gradient.reshape(-1, gradient.shape[-1])
        d_inner = d_output @ up
        d_x = None
        if ctx.needs_input_grad[0]:
            full = multiplied(weight, ctx.weight_scale, d_output.dtype)
            d_x = (d_output @ full).addmm_(d_inner, down, alpha=added.scale)
            d_x = d_x.view(*gradient.shape[:-1], rows.shape[-1])
        _write_product(d_inner.T, rows, added.d_down)
        _write_product(d_output.T, inner, added.d_up)
        return d_x, None, None, None, None, None


def _write_product(a: Tensor, b: Tensor, into: Tensor) -> None:
    if into.dtype == a.dtype:
        torch.mm(a, b, out=into)
    else:  # under autocast
        into.copy_(a @ b)
