import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipe_core.masks import mask_ops
from tests.support.editing import disc


@pytest.mark.parametrize("threshold", ["otsu", 0.5])
def test_a_noisy_blob_is_found(threshold):
    truth = disc()
    noisy = 0.02 + 0.01 * truth + 0.001 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mask_ops.subject_mask(noisy, threshold=threshold, dilation=0.0), truth)


@given(scale=st.floats(0.01, 100), shift=st.floats(-5, 5))
def test_a_map_has_no_scale(scale, shift):
    maps = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = mask_ops.subject_mask(maps, threshold=0.3, dilation=0.1)
    assert torch.equal(mask_ops.subject_mask(maps * scale + shift, threshold=0.3, dilation=0.1), expected)


def test_a_flat_map_has_no_subject():
    assert mask_ops.subject_mask(torch.full((1, 1, 8, 8), 0.3), threshold="otsu", dilation=0.1).sum() == 0


def test_rows_are_independent():
    maps = torch.rand(3, 1, 9, 7)
    batch = mask_ops.subject_mask(maps, threshold="otsu", dilation=0.15)
    for row, alone in zip(maps.split(1), batch.split(1), strict=True):
        assert torch.equal(mask_ops.subject_mask(row, threshold="otsu", dilation=0.15), alone)


def test_otsu_equals_the_exhaustive_search():
    maps = torch.rand(2, 1, 5, 6, dtype=torch.float64) ** 3
    for values, level in zip(maps.flatten(1), mask_ops.otsu(maps), strict=True):

        def spread(at, values=values):
            low, high = values[values <= at], values[values > at]
            return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(high) else 0.0

        best = max(values.tolist(), key=spread)
        assert torch.equal(values > level, values > best)


@pytest.mark.parametrize("shape", [(24, 24), (16, 30)])
def test_dilation_of_a_point_is_a_disc(shape):
    point = torch.zeros(1, 1, *shape)
    point[0, 0, 8, 9] = 1
    radius = 3 / min(shape)
    grown = mask_ops.dilate(point, radius)[0, 0]
    y, x = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    assert torch.equal(grown, ((y - 8) ** 2 + (x - 9) ** 2 <= 3.5**2).float())


def test_dilation_reaches_as_far_at_every_resolution():
    shares = [mask_ops.dilate(disc(n, n / 8, (n / 2, n / 2)), 0.125).mean().item() for n in (64, 256)]
    assert shares[0] == pytest.approx(shares[1], rel=0.1)
    assert torch.equal(mask_ops.dilate(disc(), 0.0), disc())
    assert mask_ops.dilate(torch.zeros(2, 1, 8, 8), 0.5).sum() == 0


def test_feather_is_soft_bounded_and_ends():
    soft = mask_ops.feather(disc(48, 10.0, (24.0, 24.0)), 4 / 48)
    assert soft.min() == 0
    assert soft.max() <= 1
    assert ((soft > 0) & (soft < 1)).any()
    assert torch.equal(soft > 0, (soft > 0) & (disc(48, 10.0 + 4 * 2**0.5 + 1, (24.0, 24.0)) > 0))


def test_soft_pixel_masks_keep_the_whole_mask():
    mask = disc(16, 4.0, (8.0, 8.0))
    pixels = mask_ops.to_soft_pixel_mask(mask, (128, 128), 0.04)
    inside = mask_ops.to_soft_pixel_mask(mask, (128, 128), 0.0)
    assert pixels[inside == 1].min() == 1
    assert (pixels[mask_ops.dilate(inside, 0.12) == 0] == 0).all()


def test_union_is_either():
    a, b = disc(centre=(8.0, 8.0)), disc(centre=(14.0, 14.0))
    assert torch.equal(mask_ops.union(a, b) > 0, (a > 0) | (b > 0))


def test_resize_keeps_the_mean_when_shrinking():
    maps = torch.rand(2, 1, 16, 24)
    small = mask_ops.resize(maps, (8, 12))
    assert small.shape == (2, 1, 8, 12)
    torch.testing.assert_close(small.mean((1, 2, 3)), maps.mean((1, 2, 3)))
