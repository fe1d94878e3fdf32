import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lipe_core.metrics.crop import subject_crop


def make_image(width: int, height: int) -> Image.Image:
    """Red encodes the column, green the row."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


def box(width: int, height: int, left: int, top: int, right: int, bottom: int) -> Image.Image:
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[top:bottom, left:right] = 255
    return Image.fromarray(mask)


def place(crop: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a crop of `image`."""
    pixels = np.asarray(crop)
    return int(pixels[0, 0, 0]), int(pixels[0, 0, 1]), int(pixels[-1, -1, 0]) + 1, int(pixels[-1, -1, 1]) + 1


@pytest.mark.parametrize(
    ("subject", "margin", "expected"),
    [
        ((40, 30, 60, 40), 0.0, (40, 25, 60, 45)),
        ((40, 30, 60, 40), 0.1, (38, 23, 62, 47)),
        ((0, 0, 20, 10), 0.1, (0, 0, 24, 24)),
        ((80, 70, 100, 80), 0.1, (76, 56, 100, 80)),
        ((5, 0, 95, 80), 0.1, (0, 0, 100, 80)),
    ],
)
def test_a_square_around_the_subject_inside_the_image(
    subject: tuple[int, int, int, int], margin: float, expected: tuple[int, int, int, int]
) -> None:
    assert place(subject_crop(make_image(100, 80), box(100, 80, *subject), margin)) == expected


@given(data=st.data(), width=st.integers(1, 40), height=st.integers(1, 40), margin=st.floats(0, 0.5))
def test_a_crop_contains_the_whole_subject(data: st.DataObject, width: int, height: int, margin: float) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    mask = box(width, height, left, top, right, bottom)
    x0, y0, x1, y1 = place(subject_crop(make_image(width, height), mask, margin))
    assert 0 <= x0 <= left < right <= x1 <= width
    assert 0 <= y0 <= top < bottom <= y1 <= height


def test_grey_is_not_subject_and_no_subject_is_the_whole_image() -> None:
    assert subject_crop(make_image(9, 7), Image.new("L", (9, 7), 127)).size == (9, 7)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        subject_crop(make_image(9, 7), Image.new("L", (7, 9)))
