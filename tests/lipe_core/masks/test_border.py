"""Sides that cut a subject off."""

import pytest
import torch

from lipe_core.masks.border import Side, cut_off_sides


def silhouette(left: int, top: int, right: int, bottom: int) -> torch.Tensor:
    """A rectangle in an image of 100 x 60 pixels."""
    mask = torch.zeros(1, 1, 60, 100)
    mask[:, :, top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize(
    ("box", "sides"),
    [
        ((10, 10, 90, 50), []),
        ((0, 10, 50, 50), ["left"]),
        ((10, 0, 90, 50), ["top"]),
        ((10, 10, 100, 50), ["right"]),
        ((10, 10, 90, 60), ["bottom"]),
        ((0, 0, 100, 60), ["left", "top", "right", "bottom"]),
        ((40, 20, 44, 60), []),  # 4 % of the bottom is not enough
        ((40, 20, 46, 60), ["bottom"]),
    ],
)
def test_a_side_counts_if_enough_of_it_is_covered(box: tuple[int, int, int, int], sides: list[Side]) -> None:
    assert cut_off_sides(silhouette(*box)) == sides


def test_an_image_without_the_subject_cuts_nothing_off() -> None:
    assert cut_off_sides(torch.zeros(1, 1, 8, 8)) == []
