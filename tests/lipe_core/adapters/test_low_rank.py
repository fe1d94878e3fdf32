from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from lipe_core.adapters.low_rank import LowRank, low_rank_linear

SCALE = 0.5


def parts(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = {"x": (2, 3, 5), "weight": (4, 5), "bias": (4,), "down": (2, 5), "up": (4, 2)}
    return {name: torch.randn(shape, generator=draw, dtype=dtype) for name, shape in shapes.items()}


def as_one(x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> tuple[Tensor, LowRank]:
    trained = torch.ones(1, requires_grad=True)
    added = LowRank(down, up, torch.full_like(down, 7.0), torch.full_like(up, 7.0), SCALE, trained)
    return low_rank_linear(x, weight, bias, added), added


def as_layers(x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
    return linear(x, weight, bias) + SCALE * linear(linear(x, down), up)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("x_has_gradient", [True, False])
def test_it_is_the_sum_of_two_layers_and_so_are_its_gradients(has_bias: bool, x_has_gradient: bool) -> None:
    inputs: dict[str, Any] = parts() | ({} if has_bias else {"bias": None})
    inputs["x"].requires_grad_(x_has_gradient)
    whole, added = as_one(**inputs)
    split = as_layers(**inputs | {name: inputs[name].clone().requires_grad_(True) for name in ("down", "up")})
    torch.testing.assert_close(whole, split)
    towards = torch.randn(whole.shape, generator=torch.Generator().manual_seed(1), dtype=whole.dtype)
    (whole * towards).sum().backward()
    ours = [SCALE * added.d_down, SCALE * added.d_up, inputs["x"].grad]
    trained = {name: inputs[name].detach().clone().requires_grad_(True) for name in ("down", "up", "x")}
    (as_layers(**inputs | trained) * towards).sum().backward()
    theirs = [trained[name].grad for name in ("down", "up", "x")]
    torch.testing.assert_close(ours[:2], theirs[:2])
    if x_has_gradient:
        torch.testing.assert_close(ours[2], theirs[2])
    else:
        assert ours[2] is None


def test_it_computes_in_the_dtype_of_autocast() -> None:
    inputs = parts(torch.float32)
    inputs["x"].requires_grad_(True)
    exact, exact_added = as_one(**inputs)
    exact.sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        half, added = as_one(**inputs)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, atol=0.1, rtol=0.05)
    half.float().sum().backward()
    assert added.d_down.dtype == added.d_up.dtype == torch.float32
    torch.testing.assert_close(added.d_down, exact_added.d_down, atol=0.1, rtol=0.05)
    torch.testing.assert_close(added.d_up, exact_added.d_up, atol=0.1, rtol=0.05)
