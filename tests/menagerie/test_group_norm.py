"""The fast group normalisation has the gradients of the plain one."""

import torch
from torch import nn

from menagerie.group_norm import fast_group_norm


def test_fast_group_norm_has_the_gradients_of_the_plain_one() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 12)
    nn.init.normal_(norm.weight)
    x = torch.randn(3, 12, 5, 6, requires_grad=True)
    towards = torch.randn(3, 12, 5, 6)
    plain = torch.autograd.grad((norm(x) * towards).sum(), (x, norm.weight, norm.bias))
    with fast_group_norm(norm):
        fast = torch.autograd.grad((norm(x) * towards).sum(), (x, norm.weight, norm.bias))
    for ours, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert "forward" not in vars(norm)


def test_it_takes_the_transposed_view_of_an_attention() -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(1, 12)
    tokens = torch.randn(2, 30, 12, requires_grad=True)
    plain = torch.autograd.grad(norm(tokens.transpose(1, 2)).square().sum(), tokens)
    with fast_group_norm(norm):
        fast = torch.autograd.grad(norm(tokens.transpose(1, 2)).square().sum(), tokens)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
