"""Silhouettes with exact edges from coarse attention maps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipe_core.masks import mask_ops, segmentation
from tests.support.editing import disc


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.minimum(a, b).sum() / torch.maximum(a, b).sum())


def two_colored(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy image of a disc with a thin arm on a background of another color, and its true mask."""
    truth = disc(side, side * 0.25, (side * 0.52, side * 0.47))
    truth[..., round(side * 0.5) : round(side * 0.54), round(side * 0.6) : round(side * 0.82)] = 1.0
    colors = torch.tensor([0.8, 0.1, -0.3])[None, :, None, None]
    image = colors * truth - 0.4 * colors * (1 - truth)
    return image + 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0)), truth


@pytest.mark.parametrize("side", [96, 512])
def test_a_coarse_map_becomes_the_outline_in_the_image(side: int) -> None:
    image, truth = two_colored(side)
    coarse = mask_ops.resize(truth, (12, 12))
    without_image = (mask_ops.resize(coarse, (side, side)) > 0.5).float()
    found = segmentation.silhouette(coarse, image)
    arm = truth * (1 - disc(side, side * 0.25, (side * 0.52, side * 0.47)))
    assert (without_image * arm).sum() < 0.7 * arm.sum()
    assert (found * arm).sum() > 0.9 * arm.sum()
    assert iou(without_image, truth) < 0.95
    assert iou(found, truth) > 0.97


def test_grabcut_is_the_same_each_time_and_for_each_row() -> None:
    images, truths = (torch.cat(rows) for rows in zip(two_colored(96), two_colored(96), strict=True))
    images[1] = images[1].flip(0)
    labels = segmentation.grabcut_start(truths)
    batch = segmentation.grabcut(images, labels)
    for k in range(2):
        assert torch.equal(segmentation.grabcut(images[k : k + 1], labels[k : k + 1]), batch[k : k + 1])


@pytest.mark.parametrize("level", [0.0, 0.6, 1.0])
def test_without_both_subject_and_background_grabcut_returns_the_likely_pixels(level: float) -> None:
    image, _ = two_colored(96)
    found = segmentation.grabcut(image, segmentation.grabcut_start(torch.full((1, 1, 96, 96), level)))
    assert torch.equal(found, torch.full_like(found, float(level > 0.5)))


def test_a_subject_that_fills_the_frame_is_found_whole() -> None:
    maps = torch.ones(1, 1, 16, 16)
    maps[..., 0, 0] = 0.0
    assert segmentation.silhouette(maps, torch.zeros(1, 3, 96, 96)).mean() > 0.95


def test_grabcut_accepts_a_subject_of_one_pixel_and_an_image_of_one_color() -> None:
    maps = torch.zeros(1, 1, 96, 96)
    maps[..., 48, 48] = 1.0
    assert segmentation.grabcut(torch.zeros(1, 3, 96, 96), segmentation.grabcut_start(maps)).sum() <= maps.sum()


def test_without_edges_the_filter_keeps_the_outline() -> None:
    maps = mask_ops.resize(mask_ops.resize(disc(), (12, 12)), (96, 96))
    filtered = segmentation.guided_filter(torch.zeros(1, 3, 96, 96), maps, 6, 4e-3)
    assert iou((filtered > 0.5).float(), (maps > 0.5).float()) > 0.9


def test_rows_are_independent() -> None:
    draw = torch.Generator().manual_seed(2)
    maps, images = torch.rand(3, 1, 8, 8, generator=draw), torch.rand(3, 3, 40, 56, generator=draw) * 2 - 1
    batch = segmentation.silhouette(maps, images)
    for k in range(3):
        alone = segmentation.silhouette(maps[k : k + 1], images[k : k + 1])
        assert (batch[k : k + 1] != alone).float().mean() < 0.01


@given(level=st.floats(-3, 3))
def test_a_constant_map_stays_constant(level: float) -> None:
    guide = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3)) * 2 - 1
    filtered = segmentation.guided_filter(guide, torch.full((1, 1, 20, 24), level), 3, 4e-3)
    assert torch.allclose(filtered, torch.full_like(filtered, level), atol=1e-3)


def test_whole_silhouettes_have_no_holes_and_no_small_parts_far_away() -> None:
    body, hole, ear, speck, border = torch.zeros(5, 1, 1, 100, 100)
    body[..., 30:70, 30:70] = 1
    hole[..., 45:55, 45:55] = 1
    ear[..., 40:46, 73:79] = 1  # three pixels from the body
    speck[..., 5:10, 5:10] = 1  # 25 of some 1,500 pixels, and far
    border[..., 95:, 20:80] = 1  # not small: 300 pixels at the image's edge
    found = segmentation.whole(mask_ops.union(body - hole, ear, speck, border))
    assert torch.equal(found, mask_ops.union(body, ear, border))


def test_an_opening_to_the_outside_is_no_hole() -> None:
    bay = torch.zeros(1, 1, 60, 60)
    bay[..., 10:50, 10:50] = 1
    bay[..., 10:30, 25:35] = 0
    assert torch.equal(segmentation.whole(bay), bay)


def test_an_empty_row_stays_empty_and_does_not_disturb_the_others() -> None:
    rows = torch.cat([torch.zeros(1, 1, 40, 40), disc(40, 10.0, (20.0, 20.0)), torch.ones(1, 1, 40, 40)])
    assert torch.equal(segmentation.whole(rows), rows)


@pytest.mark.parametrize("growth", [0.02, -0.02])
def test_recut_moves_a_nearly_right_outline_to_the_edge(growth: float) -> None:
    image, _ = two_colored(96)
    truth = disc(96, 24.0, (96 * 0.52, 96 * 0.47))
    image = torch.where(truth > 0, 0.6, -0.4) + 0.02 * torch.randn(image.shape, generator=torch.Generator())
    wrong = disc(96, 24.0 + growth * 96, (96 * 0.52, 96 * 0.47))
    assert iou(wrong, truth) < 0.87
    assert iou(segmentation.recut(wrong, image), truth) > 0.98


def test_recut_finds_nothing_far_from_the_outline_and_nothing_in_an_empty_one() -> None:
    image, truth = two_colored(96)
    arm = torch.zeros_like(truth)
    arm[..., 48:52, 66:79] = truth[..., 48:52, 66:79]
    assert segmentation.recut(disc(96, 20.0, (96 * 0.52, 96 * 0.47)), image)[arm > 0].mean() < 0.5
    assert segmentation.recut(torch.zeros_like(truth), image).sum() == 0


def test_a_latent_is_covered_if_a_silhouette_covers_more_than_a_quarter_of_it() -> None:
    covered = torch.zeros(1, 1, 16, 16)
    covered[..., :6] = 1.0  # covers the first latent and half of the second
    covered[..., 12] = 1.0  # a quarter of the fourth
    assert segmentation.to_latent_mask(covered, (4, 4))[0, 0, 0].tolist() == [1, 1, 0, 0]
