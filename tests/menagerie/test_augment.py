"""Augmented images: whole or cropped, and degraded."""

import numpy as np

from menagerie.attributes import sample_drawing
from menagerie.augment import render_augmented
from menagerie.draw import mask, render
from menagerie.pool import to_images


def test_uncropped_images_differ_from_the_drawings_by_augmentation_only() -> None:
    drawings = [sample_drawing(np.random.default_rng(k)) for k in range(12)]
    augmented = to_images(render_augmented(np.random.default_rng(0), drawings, 64, crop_share=0.0)).astype(float)
    drawn = np.stack([render(drawing, 64) for drawing in drawings]).astype(float)
    assert 0 < np.abs(augmented - drawn).mean() < 15
    assert np.abs(augmented - drawn[::-1]).mean() > 30


def test_cropped_images_show_the_subject_larger() -> None:
    drawing = sample_drawing(np.random.default_rng(3))
    share = mask(drawing).mean()
    whole, cropped = (render_augmented(np.random.default_rng(1), [drawing] * 3, 128, crop_share=c) for c in (0.0, 1.0))
    assert share < 0.6
    assert whole.shape == cropped.shape == (3, 3, 128, 128)
    assert (whole - cropped).abs().mean() > 0.05
    assert not np.array_equal(*to_images(cropped[1:]))  # the margins are random
