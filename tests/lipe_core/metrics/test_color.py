"""Distances of colors in CIELAB."""

import pytest
import torch

from lipe_core.metrics.color import VISIBLE, color_difference


def test_the_distance_of_white_and_black_is_that_of_their_lightness() -> None:
    white, black = torch.ones(1, 3, 16, 16), -torch.ones(1, 3, 16, 16)
    assert color_difference(white, black, 8).tolist() == pytest.approx([100], abs=0.01)
    assert color_difference(white, white, 8).tolist() == [0]


def test_a_difference_of_two_levels_is_not_visible_and_one_of_ten_is() -> None:
    """sRGB's lightness of grey 128 is 53.6, of 130 54.4, of 138 57.4."""
    grey, near, far = (torch.full((1, 3, 8, 8), level / 127.5 - 1) for level in (128, 130, 138))
    assert color_difference(grey, near, 8).item() == pytest.approx(0.76, abs=0.05) != pytest.approx(VISIBLE)
    assert color_difference(grey, far, 8).item() == pytest.approx(3.8, abs=0.1)
    assert color_difference(grey, near, 8).item() < VISIBLE < color_difference(grey, far, 8).item()


def test_detail_inside_a_square_does_not_count_and_each_row_is_its_own() -> None:
    stripes = torch.ones(2, 3, 16, 16)
    stripes[0, :, :, ::2] = -1
    shifted = stripes.roll(1, dims=3)
    assert color_difference(stripes, shifted, 8).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert color_difference(stripes, shifted, 1)[0].item() == pytest.approx(100, abs=0.01)
