"""Outlines: coarse attention, exact edges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipe_core.masks import mask_ops, segmentation
from tests.support.editing import disc


def iou(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.minimum(a, b).sum() / torch.maximum(a, b).sum())


@pytest.mark.parametrize("side", [96, 512])
def test_a_coarse_map_snaps_to_the_pictures_edge(side: int) -> None:
    truth = disc(side, side * 0.3, (side * 0.52, side * 0.47))
    colours = torch.tensor([0.8, 0.1, -0.3])[None, :, None, None]
    picture = colours * truth - 0.4 * colours * (1 - truth)
    picture = picture + 0.02 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    coarse = mask_ops.resize(truth, (12, 12))
    plain = segmentation.silhouette(coarse, picture, threshold=0.6, snap=0.0)
    snapped = segmentation.silhouette(coarse, picture, threshold=0.6, snap=0.08)
    assert iou(plain, truth) < 0.95
    assert iou(snapped, truth) > 0.97


def two_coloured(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A disc with a thin arm of its own colour on another colour, with some noise; and where they are."""
    truth = disc(side, side * 0.25, (side * 0.52, side * 0.47))
    truth[..., round(side * 0.5) : round(side * 0.54), round(side * 0.6) : round(side * 0.82)] = 1.0
    colours = torch.tensor([0.8, 0.1, -0.3])[None, :, None, None]
    picture = colours * truth - 0.4 * colours * (1 - truth)
    return picture + 0.02 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0)), truth


@pytest.mark.parametrize("side", [96, 512])
def test_grabcut_finds_what_has_the_subjects_colour_where_a_threshold_cuts_it_off(side: int) -> None:
    picture, truth = two_coloured(side)
    coarse = mask_ops.resize(truth, (12, 12))
    cut, grabbed = (
        segmentation.silhouette(coarse, picture, threshold=0.65, snap=0.08, grabcut_rounds=rounds) for rounds in (0, 1)
    )
    arm = truth * (1 - disc(side, side * 0.25, (side * 0.52, side * 0.47)))
    assert (cut * arm).sum() < 0.7 * arm.sum()
    assert (grabbed * arm).sum() > 0.9 * arm.sum()
    assert iou(grabbed, truth) > 0.97


def test_grabcut_is_the_same_each_time_and_for_each_row() -> None:
    pictures, truths = (torch.cat(rows) for rows in zip(two_coloured(96), two_coloured(96), strict=True))
    pictures[1] = pictures[1].flip(0)
    maps = mask_ops.resize(truths, (96, 96))
    together = segmentation.grabcut(pictures, maps, 2)
    for k in range(2):
        assert torch.equal(segmentation.grabcut(pictures[k : k + 1], maps[k : k + 1], 2), together[k : k + 1])


@pytest.mark.parametrize("level", [0.0, 0.6, 1.0])
def test_without_two_kinds_of_place_grabcut_leaves_what_is_likely(level: float) -> None:
    picture, _ = two_coloured(96)
    found = segmentation.grabcut(picture, torch.full((1, 1, 96, 96), level), 1)
    assert torch.equal(found, torch.full_like(found, float(level > 0.5)))


def test_a_subject_that_fills_the_frame_is_grabbed_whole() -> None:
    maps = torch.ones(1, 1, 16, 16)
    maps[..., 0, 0] = 0.0
    found = segmentation.silhouette(maps, torch.zeros(1, 3, 96, 96), threshold=0.65, snap=0.08, grabcut_rounds=1)
    assert found.mean() > 0.95


def test_a_subject_of_one_pixel_and_a_picture_of_one_colour_can_be_grabbed() -> None:
    maps = torch.zeros(1, 1, 96, 96)
    maps[..., 48, 48] = 1.0
    assert segmentation.grabcut(torch.zeros(1, 3, 96, 96), maps, 1).sum() <= maps.sum()


def test_without_edges_the_outline_stays() -> None:
    maps, picture = mask_ops.resize(disc(), (12, 12)), torch.zeros(1, 3, 96, 96)
    plain, snapped = (segmentation.silhouette(maps, picture, threshold=0.5, snap=snap) for snap in (0.0, 0.06))
    assert iou(plain, snapped) > 0.9


def test_rows_are_independent() -> None:
    draw = torch.Generator().manual_seed(2)
    maps, guide = torch.rand(3, 1, 8, 8, generator=draw), torch.rand(3, 3, 40, 56, generator=draw) * 2 - 1
    together = segmentation.silhouette(maps, guide, threshold="otsu", snap=0.1)
    for k in range(3):
        alone = segmentation.silhouette(maps[k : k + 1], guide[k : k + 1], threshold="otsu", snap=0.1)
        assert (together[k : k + 1] != alone).float().mean() < 0.01


@given(level=st.floats(-3, 3))
def test_a_constant_map_stays_constant(level: float) -> None:
    guide = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3)) * 2 - 1
    filtered = segmentation.guided_filter(guide, torch.full((1, 1, 20, 24), level), 3, 4e-3)
    assert torch.allclose(filtered, torch.full_like(filtered, level), atol=1e-3)


def test_what_moved_is_no_rim_and_what_left_takes_its_edge_along() -> None:
    old, new, head, leg = torch.zeros(4, 1, 1, 64, 64)
    old[..., 20:40, 20:40] = 1
    leg[..., 40:60, 22:30] = 1
    new[..., 19:41, 19:41] = 1
    head[..., 8:19, 24:36] = 1
    arrived, left = segmentation.moved(mask_ops.union(old, leg), mask_ops.union(new, head), opening=2 / 64, halo=1 / 64)
    assert (arrived * (1 - head))[..., 20:, :].sum() == 0
    assert (arrived * head).sum() > 0.9 * head.sum()
    assert (left * leg)[..., 41:, :].sum() == leg[..., 41:, :].sum()
    assert left[..., 45:58, 21].all()
    assert left[..., 45:58, 30].all()
    assert left[..., :38, :].sum() == 0


def test_a_cell_counts_when_enough_of_it_is_covered() -> None:
    covered = torch.zeros(1, 1, 16, 16)
    covered[..., :6] = 1.0  # one cell of 4 wholly, the next by half
    wide, narrow = (segmentation.cells(covered, (4, 4), coverage) for coverage in (0.4, 0.6))
    assert wide[0, 0, 0].tolist() == [1, 1, 0, 0]
    assert narrow[0, 0, 0].tolist() == [1, 0, 0, 0]


def test_two_pictures_differ_where_their_colours_do_on_the_mean() -> None:
    source = torch.zeros(1, 3, 80, 80)
    painted = source.clone()
    painted[..., 20:60, 20:60] = 0.5
    painted[..., 5, 5] = 0.5  # a speck
    seen = segmentation.differing(painted, source, tolerance=0.3)[0, 0]
    assert seen[25:55, 25:55].all()
    assert seen[:16, :16].sum() == seen[64:].sum() == 0
    assert segmentation.differing(painted, source, tolerance=0.6).sum() == 0
