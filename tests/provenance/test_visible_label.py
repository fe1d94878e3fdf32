"""The visible label is legible on every background and at every size, and the watermark is still found with it."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from provenance.visible_label import DARK, LIGHT, add_label, label_region
from provenance.watermark import detect, embed

SIZES = [(256, 256), (512, 512), (4032, 3024), (3024, 4032), (8000, 1000), (256, 8192)]


@pytest.mark.parametrize("size", SIZES)
def test_the_label_is_inside_the_image_and_large_enough_when_it_is_shown(size: tuple[int, int]) -> None:
    region, (width, height) = label_region(size), size
    assert min(region.left, region.top, width - region.left - region.width, height - region.top - region.height) >= 4
    assert region.width * region.height < 0.05 * width * height
    shown = min(1, 1200 / width)  # on a screen, at most 1200 pixels wide
    assert shown * region.height > 16


@pytest.mark.parametrize("level", [0, 24, 128, 255])
def test_the_label_has_contrast_and_all_other_pixels_stay(level: int) -> None:
    plain = Image.new("RGB", (512, 384), (level, level, level))
    labelled, region = np.asarray(add_label(plain)), label_region(plain.size)
    rows = slice(region.top, region.top + region.height)
    columns = slice(region.left, region.left + region.width)
    plate = labelled[rows, columns]
    assert 0.05 < (plate[3:-3, 3:-3] > 200).all(axis=2).mean() < 0.4  # the text
    assert (plate == DARK).all(axis=2).mean() > 0.4
    contrast = max(_contrast(level, edge) for edge in (LIGHT[0], DARK[0]))
    assert contrast > 4.4  # middle gray is the worst
    rest = labelled.copy()
    rest[rows, columns] = level
    assert (rest == level).all()
    assert (plate[0] == LIGHT).all()


def test_the_watermark_is_found_in_a_labelled_image() -> None:
    photo = Image.effect_noise((640, 480), 30).convert("RGB").filter(ImageFilter.GaussianBlur(2))
    mask = Image.new("L", photo.size)
    mask.paste(255, (120, 60, 520, 420))
    assert detect(add_label(embed(photo, mask, b"key")), b"key").is_found
    assert not detect(add_label(photo), b"key").is_found


def _contrast(first: int, second: int) -> float:
    """The contrast ratio of two grays by WCAG 2.2."""
    low, high = sorted(_luminance(gray) for gray in (first, second))
    return (high + 0.05) / (low + 0.05)


def _luminance(gray: int) -> float:
    share = gray / 255
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)
