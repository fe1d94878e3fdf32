import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from lipe_core.adapters.low_rank import project

SCALE = 0.5


def parts(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = {"x": (2, 3, 5), "weight": (4, 5), "bias": (4,), "down": (2, 5), "up": (4, 2)}
    return {name: torch.randn(shape, generator=draw, dtype=dtype) for name, shape in shapes.items()}


def as_layers(x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> Tensor:
    return linear(x, weight, bias) + SCALE * linear(linear(x, down), up)


@pytest.mark.parametrize("has_bias", [True, False])
def test_it_is_the_sum_of_two_layers_and_so_are_its_gradients(has_bias: bool) -> None:
    given = parts() | ({} if has_bias else {"bias": None})
    learnt = [given[name].requires_grad_(True) for name in ("x", "down", "up")]
    whole, split = project(**given, scale=SCALE), as_layers(**given)
    torch.testing.assert_close(whole, split)
    towards = torch.randn(whole.shape, generator=torch.Generator().manual_seed(1), dtype=whole.dtype)
    for ours, theirs in zip(
        torch.autograd.grad((whole * towards).sum(), learnt),
        torch.autograd.grad((split * towards).sum(), learnt),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_an_input_that_needs_no_gradient_gets_none() -> None:
    given = parts()
    for name in ("down", "up"):
        given[name].requires_grad_(True)
    project(**given, scale=SCALE).sum().backward()
    assert given["x"].grad is None
    assert given["down"].grad is not None
    assert given["up"].grad is not None


def test_it_takes_part_in_autocast() -> None:
    given = parts(torch.float32)
    for name in ("x", "down", "up"):
        given[name].requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        halved = project(**given, scale=SCALE)
    assert halved.dtype == torch.bfloat16
    torch.testing.assert_close(halved.float(), project(**given, scale=SCALE), atol=0.1, rtol=0.05)
    halved.float().sum().backward()
    assert {given[name].grad.dtype for name in ("x", "down", "up")} == {torch.float32}
