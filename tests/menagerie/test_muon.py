"""Muon: orthogonalised updates, and a minimum that it finds."""

import torch
from torch import nn

from menagerie.muon import Muon, orthogonalize


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((3, 20, 50), (2, 50, 20)):
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape, generator=torch.Generator().manual_seed(0))))
        assert values.min() > 0.5
        assert values.max() < 1.4


def test_muon_finds_a_minimum() -> None:
    target = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    weight = nn.Parameter(torch.zeros(8, 6))
    optimizer = Muon([weight], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (weight - target).square().mean().backward()
        optimizer.step()
    assert (weight - target).abs().mean() < 0.1
