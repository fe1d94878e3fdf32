"""Silhouettes with exact edges from coarse attention maps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipe_core.masks import mask_ops, segmentation
from tests.support.editing import disc


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.minimum(a, b).sum() / torch.maximum(a, b).sum())


@pytest.mark.parametrize("side", [96, 512])
def test_a_coarse_map_snaps_to_the_images_edge(side: int) -> None:
    truth = disc(side, side * 0.3, (side * 0.52, side * 0.47))
    colors = torch.tensor([0.8, 0.1, -0.3])[None, :, None, None]
    image = colors * truth - 0.4 * colors * (1 - truth)
    image = image + 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    coarse = mask_ops.resize(truth, (12, 12))
    plain = segmentation.silhouette(coarse, image, threshold=0.6, snap=0.0)
    snapped = segmentation.silhouette(coarse, image, threshold=0.6, snap=0.08)
    assert iou(plain, truth) < 0.95
    assert iou(snapped, truth) > 0.97


def two_colored(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy image of a disc with a thin arm on a background of another color, and its true mask."""
    truth = disc(side, side * 0.25, (side * 0.52, side * 0.47))
    truth[..., round(side * 0.5) : round(side * 0.54), round(side * 0.6) : round(side * 0.82)] = 1.0
    colors = torch.tensor([0.8, 0.1, -0.3])[None, :, None, None]
    image = colors * truth - 0.4 * colors * (1 - truth)
    return image + 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0)), truth


@pytest.mark.parametrize("side", [96, 512])
def test_grabcut_keeps_parts_of_the_subjects_color_that_a_threshold_cuts_off(side: int) -> None:
    image, truth = two_colored(side)
    coarse = mask_ops.resize(truth, (12, 12))
    cut, grabbed = (
        segmentation.silhouette(coarse, image, threshold=0.65, snap=0.08, grabcut_rounds=rounds) for rounds in (0, 1)
    )
    arm = truth * (1 - disc(side, side * 0.25, (side * 0.52, side * 0.47)))
    assert (cut * arm).sum() < 0.7 * arm.sum()
    assert (grabbed * arm).sum() > 0.9 * arm.sum()
    assert iou(grabbed, truth) > 0.97


def test_grabcut_is_the_same_each_time_and_for_each_row() -> None:
    images, truths = (torch.cat(rows) for rows in zip(two_colored(96), two_colored(96), strict=True))
    images[1] = images[1].flip(0)
    maps = mask_ops.resize(truths, (96, 96))
    batch = segmentation.grabcut(images, maps, 2)
    for k in range(2):
        assert torch.equal(segmentation.grabcut(images[k : k + 1], maps[k : k + 1], 2), batch[k : k + 1])


@pytest.mark.parametrize("level", [0.0, 0.6, 1.0])
def test_without_both_subject_and_background_grabcut_returns_the_likely_pixels(level: float) -> None:
    image, _ = two_colored(96)
    found = segmentation.grabcut(image, torch.full((1, 1, 96, 96), level), 1)
    assert torch.equal(found, torch.full_like(found, float(level > 0.5)))


def test_a_subject_that_fills_the_frame_is_found_whole() -> None:
    maps = torch.ones(1, 1, 16, 16)
    maps[..., 0, 0] = 0.0
    found = segmentation.silhouette(maps, torch.zeros(1, 3, 96, 96), threshold=0.65, snap=0.08, grabcut_rounds=1)
    assert found.mean() > 0.95


def test_grabcut_accepts_a_subject_of_one_pixel_and_an_image_of_one_color() -> None:
    maps = torch.zeros(1, 1, 96, 96)
    maps[..., 48, 48] = 1.0
    assert segmentation.grabcut(torch.zeros(1, 3, 96, 96), maps, 1).sum() <= maps.sum()


def test_without_edges_the_outline_stays() -> None:
    maps, image = mask_ops.resize(disc(), (12, 12)), torch.zeros(1, 3, 96, 96)
    plain, snapped = (segmentation.silhouette(maps, image, threshold=0.5, snap=snap) for snap in (0.0, 0.06))
    assert iou(plain, snapped) > 0.9


def test_rows_are_independent() -> None:
    draw = torch.Generator().manual_seed(2)
    maps, guide = torch.rand(3, 1, 8, 8, generator=draw), torch.rand(3, 3, 40, 56, generator=draw) * 2 - 1
    batch = segmentation.silhouette(maps, guide, threshold="otsu", snap=0.1)
    for k in range(3):
        alone = segmentation.silhouette(maps[k : k + 1], guide[k : k + 1], threshold="otsu", snap=0.1)
        assert (batch[k : k + 1] != alone).float().mean() < 0.01


@given(level=st.floats(-3, 3))
def test_a_constant_map_stays_constant(level: float) -> None:
    guide = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3)) * 2 - 1
    filtered = segmentation.guided_filter(guide, torch.full((1, 1, 20, 24), level), 3, 4e-3)
    assert torch.allclose(filtered, torch.full_like(filtered, level), atol=1e-3)


def test_changed_regions_drop_thin_rims_and_include_the_edge_of_what_left() -> None:
    old, new, head, leg = torch.zeros(4, 1, 1, 64, 64)
    old[..., 20:40, 20:40] = 1
    leg[..., 40:60, 22:30] = 1
    new[..., 19:41, 19:41] = 1
    head[..., 8:19, 24:36] = 1
    entered, left = segmentation.changed_regions(
        mask_ops.union(old, leg), mask_ops.union(new, head), opening=2 / 64, halo=1 / 64
    )
    assert (entered * (1 - head))[..., 20:, :].sum() == 0
    assert (entered * head).sum() > 0.9 * head.sum()
    assert (left * leg)[..., 41:, :].sum() == leg[..., 41:, :].sum()
    assert left[..., 45:58, 21].all()
    assert left[..., 45:58, 30].all()
    assert left[..., :38, :].sum() == 0


def test_a_latent_may_change_if_enough_of_it_is_covered() -> None:
    covered = torch.zeros(1, 1, 16, 16)
    covered[..., :6] = 1.0  # covers the first latent wholly and half of the second
    wide, narrow = (segmentation.to_latent_mask(covered, (4, 4), coverage) for coverage in (0.4, 0.6))
    assert wide[0, 0, 0].tolist() == [1, 1, 0, 0]
    assert narrow[0, 0, 0].tolist() == [1, 0, 0, 0]


def test_images_differ_where_the_mean_difference_of_their_colors_is_large() -> None:
    source = torch.zeros(1, 3, 80, 80)
    generated = source.clone()
    generated[..., 20:60, 20:60] = 0.5
    generated[..., 5, 5] = 0.5  # a speck
    mask = segmentation.color_difference_mask(generated, source, tolerance=0.3)[0, 0]
    assert mask[25:55, 25:55].all()
    assert mask[:16, :16].sum() == mask[64:].sum() == 0
    assert segmentation.color_difference_mask(generated, source, tolerance=0.6).sum() == 0
