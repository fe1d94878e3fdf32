import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lipe_core.methods.crop import Box, around, crop_around, snapped, whole

SIDES = st.integers(200, 5000)


@given(SIDES, SIDES, st.data())
def test_a_crop_holds_the_subject_with_room_and_the_native_area(height: int, width: int, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    subject = Box(top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left)))
    crop = crop_around(subject, (height, width), 512**2)
    assert 0 <= crop.top <= subject.top
    assert 0 <= crop.left <= subject.left
    assert subject.top + subject.height <= crop.top + crop.height <= height
    assert subject.left + subject.width <= crop.left + crop.width <= width
    if crop != whole((height, width)):
        assert crop.height * crop.width >= 512**2
        assert height * width >= 1.5 * crop.height * crop.width


def test_a_small_subject_in_a_photo_of_12_megapixels_is_edited_at_native_size() -> None:
    crop = crop_around(Box(1000, 2000, 300, 200), (3024, 4032), 1024**2)
    assert crop.height * crop.width < 1.01 * 1024**2
    assert abs(crop.top + crop.height / 2 - 1150) <= 1
    assert abs(crop.left + crop.width / 2 - 2100) <= 1


def test_a_subject_that_fills_the_image_is_edited_in_the_whole_image() -> None:
    assert crop_around(Box(300, 300, 2400, 2400), (3024, 4032), 1024**2) == whole((3024, 4032))


def test_around_finds_the_white_pixels() -> None:
    mask = Image.new("L", (40, 30))
    assert around(mask) is None
    mask.paste(255, (5, 7, 15, 9))
    assert around(mask) == Box(top=7, left=5, height=2, width=10)


def test_what_was_cut_is_pasted_in_its_place() -> None:
    image = Image.effect_noise((40, 30), 90)
    box = Box(3, 4, 10, 20)
    assert box.paste(box.cut(image), Image.new("L", (40, 30))).getbbox() == (4, 3, 24, 13)
    assert np.array_equal(np.asarray(box.paste(box.cut(image), image)), np.asarray(image))
    assert whole((30, 40)).cut(image) is image


def test_a_crop_takes_the_networks_shape_where_that_changes_it_by_little() -> None:
    crop, image = Box(500, 600, 900, 1170), (3024, 4032)
    assert snapped(crop, (896, 1152), image) == Box(502, 609, 896, 1152)
    assert snapped(Box(0, 2900, 900, 1132), (896, 1152), image) == Box(2, 2880, 896, 1152)  # it stays in the image
    assert snapped(crop, (896, 1344), image) == crop
    assert snapped(Box(0, 0, 900, 1100), (960, 1088), (900, 3000)) == Box(0, 0, 900, 1100)
