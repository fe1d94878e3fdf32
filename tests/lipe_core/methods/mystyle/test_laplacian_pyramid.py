import pytest
import torch

from lipe_core.methods.mystyle.laplacian_pyramid import pyramid_distance


def test_equal_images_have_distance_0_and_rows_are_independent() -> None:
    one, other = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert (pyramid_distance(one, one) == 0).all()
    batch = pyramid_distance(one, other)
    torch.testing.assert_close(batch[1:], pyramid_distance(one[1:], other[1:]))


def test_a_constant_difference_counts_once_and_detail_at_its_level() -> None:
    black = torch.zeros(1, 3, 32, 32)
    assert pyramid_distance(black + 0.5, black).item() == pytest.approx(0.5, abs=1e-6)
    checks = (torch.arange(32)[:, None] + torch.arange(32)[None]) % 2 * 2.0 - 1
    assert pyramid_distance(checks.expand(1, 3, 32, 32), black).item() == pytest.approx(1, abs=1e-6)


def test_odd_sides_are_compared_as_they_are() -> None:
    assert pyramid_distance(torch.ones(1, 3, 7, 7), torch.zeros(1, 3, 7, 7)).item() == pytest.approx(1)
