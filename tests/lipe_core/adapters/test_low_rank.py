from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from lipe_core.adapters.low_rank import low_rank_linear

SCALE = 0.5


def parts(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = {"x": (2, 3, 5), "weight": (4, 5), "bias": (4,), "down": (2, 5), "up": (4, 2)}
    return {name: torch.randn(shape, generator=draw, dtype=dtype) for name, shape in shapes.items()}


def as_layers(x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
    return linear(x, weight, bias) + SCALE * linear(linear(x, down), up)


@pytest.mark.parametrize("has_bias", [True, False])
def test_it_is_the_sum_of_two_layers_and_so_are_its_gradients(has_bias: bool) -> None:
    inputs: dict[str, Any] = parts() | ({} if has_bias else {"bias": None})
    trained = [inputs[name].requires_grad_(True) for name in ("x", "down", "up")]
    whole, split = low_rank_linear(**inputs, scale=SCALE), as_layers(**inputs)
    torch.testing.assert_close(whole, split)
    towards = torch.randn(whole.shape, generator=torch.Generator().manual_seed(1), dtype=whole.dtype)
    for ours, theirs in zip(
        torch.autograd.grad((whole * towards).sum(), trained),
        torch.autograd.grad((split * towards).sum(), trained),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_an_input_that_needs_no_gradient_gets_none() -> None:
    inputs = parts()
    for name in ("down", "up"):
        inputs[name].requires_grad_(True)
    low_rank_linear(**inputs, scale=SCALE).sum().backward()
    assert inputs["x"].grad is None
    assert inputs["down"].grad is not None
    assert inputs["up"].grad is not None


def test_it_computes_in_the_dtype_of_autocast() -> None:
    inputs = parts(torch.float32)
    for name in ("x", "down", "up"):
        inputs[name].requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        half = low_rank_linear(**inputs, scale=SCALE)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), low_rank_linear(**inputs, scale=SCALE), atol=0.1, rtol=0.05)
    half.float().sum().backward()
    for name in ("x", "down", "up"):
        gradient = inputs[name].grad
        assert gradient is not None
        assert gradient.dtype == torch.float32
