import math

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core.masks import mask_ops
from lipe_core.masks.mask_images import hard_mask_image, soft_mask_image
from tests.support.editing import disc


def levels(image):
    return np.asarray(image).astype(float) / 255


@pytest.mark.parametrize("size", [(128, 128), (600, 420)])
def test_a_soft_mask_keeps_the_whole_mask_and_ends_at_twice_the_radius(size):
    mask = disc(16, 4.0, (8.0, 8.0))
    soft, inside = (levels(soft_mask_image(mask, size, radius)) for radius in (0.04, 0.0))
    assert soft.shape == inside.shape == size
    assert (soft[inside == 1] == 1).all()
    beyond = mask_ops.dilate(torch.from_numpy(inside)[None, None], 0.08 + 1 / min(size))[0, 0].numpy() == 0
    assert (soft[beyond] == 0).all()
    assert ((soft > 0) & (soft < 1)).any()


def test_across_a_straight_edge_it_is_the_dilated_mask_after_a_blur():
    mask, radius = torch.zeros(1, 1, 200, 200), 20
    mask[..., :100] = 1
    soft = levels(soft_mask_image(mask, (200, 200), radius / 200))
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (2 * offsets / radius) ** 2)
    step = (np.arange(200) < 100 + radius).astype(float)
    blurred = np.convolve(np.pad(step, radius, mode="edge"), weights / weights.sum(), mode="valid")
    assert np.abs(soft - blurred).max() < 0.03


def test_the_rows_of_a_tall_plane_do_not_depend_on_the_strips(monkeypatch):
    mask = disc(16, 5.0, (7.0, 9.0))
    expected = levels(soft_mask_image(mask, (500, 300), 0.1))
    monkeypatch.setattr("lipe_core.masks.mask_images._STRIP", 7)
    assert np.array_equal(levels(soft_mask_image(mask, (500, 300), 0.1)), expected)


def test_an_empty_mask_stays_black_and_a_grey_one_keeps_its_levels():
    assert levels(soft_mask_image(torch.zeros(1, 1, 8, 8), (64, 64), 0.1)).max() == 0
    grey = levels(soft_mask_image(torch.full((1, 1, 8, 8), 0.4), (16, 16), 0.0))
    assert grey == pytest.approx(np.full((16, 16), 0.4), abs=1 / 255)


@pytest.mark.parametrize("size", [(160, 120), (24, 24), (48, 24)])
def test_a_hard_mask_is_the_resized_mask_at_one_half(size):
    mask = disc(48, 12.3, (20.0, 25.0))
    hard = levels(hard_mask_image(mask, size))
    expected = mask_ops.resize(mask, size)[0, 0].numpy()
    clear = np.abs(expected - 0.5) > 0.02
    assert clear.mean() > 0.95
    assert np.array_equal(hard[clear], (expected > 0.5)[clear].astype(float))
    assert math.isclose(hard.mean(), mask.mean().item(), rel_tol=0.1)


def test_bounds_hold_to_the_pixel_and_soften_the_edge_inside() -> None:
    bounds = Image.new("L", (150, 100))
    bounds.paste(255, (0, 0, 61, 100))
    levels = np.asarray(soft_mask_image(torch.ones(1, 1, 16, 24), (100, 150), 0.04, bounds))
    assert levels[:, 61:].max() == 0
    assert levels[:, :52].min() == 255
    edge = levels[50, 52:61].astype(int)
    assert (np.diff(edge) <= 0).all()
    assert 0 < edge[-1] < edge[0]
    hard = np.asarray(soft_mask_image(torch.ones(1, 1, 16, 24), (100, 150), 0.0, bounds))
    assert np.array_equal(hard > 0, np.asarray(bounds) > 0)
