"""The watermark's message: it survives what images meet, is read with its own key alone, and is never another one."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from provenance.watermark import MESSAGE_SIDE, detect, embed, has_room
from provenance.watermark_message import _message, _symbols
from tests.provenance.test_watermark import jpeg

KEY, SIZE, MESSAGE = b"a key", (768, 512), 0xDEADBEEF


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A soft texture, always the same one."""
    noise = np.random.default_rng(5).normal(128, 50, (*SIZE[::-1], 3))
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))


@pytest.fixture(scope="module")
def marked(photo: Image.Image) -> Image.Image:
    """The photo, marked in a fifth of its area."""
    return embed(photo, region(300, 262), KEY, MESSAGE)


def region(width: int, height: int) -> Image.Image:
    """A rectangle in an image of SIZE."""
    mask = Image.new("L", SIZE)
    mask.paste(255, (200, 100, 200 + width, 100 + height))
    return mask


def error(before: Image.Image, after: Image.Image) -> float:
    """The mean square of the difference."""
    return float(np.mean((np.asarray(before, float) - np.asarray(after, float)) ** 2))


def test_it_survives_what_images_meet(marked: Image.Image) -> None:
    half = marked.resize((384, 256), Image.Resampling.BICUBIC)
    crop = marked.crop((150, 60, 611, 367))  # 60 % of each side
    for changed in (marked, jpeg(marked, 50), jpeg(half, 80), jpeg(crop, 70)):
        assert detect(changed, KEY).message == MESSAGE


def test_an_image_without_one_has_none(photo: Image.Image, marked: Image.Image) -> None:
    old = detect(embed(photo, region(300, 262), KEY), KEY)
    assert (old.is_found, old.message) == (True, None)
    for image, key in ((photo, KEY), (marked, b"another")):
        found = detect(image, key)
        assert (found.is_found, found.message) == (False, None)


def test_the_mark_is_as_weak_as_one_without_a_message(photo: Image.Image, marked: Image.Image) -> None:
    assert error(photo, marked) == pytest.approx(error(photo, embed(photo, region(300, 262), KEY)), rel=0.05)


def test_a_small_region_has_the_whole_mark_and_no_message(photo: Image.Image) -> None:
    side = MESSAGE_SIDE
    small, large = region(side, side - 1), region(side, side)
    assert (has_room(small), has_room(large)) == (False, True)
    assert embed(photo, small, KEY, MESSAGE).tobytes() == embed(photo, small, KEY).tobytes()
    assert embed(photo, large, KEY, MESSAGE).tobytes() != embed(photo, large, KEY).tobytes()
    assert not has_room(large.resize((1536, 256)))  # as many pixels, and 1.6 % of a square with the longer side


def test_a_message_that_cannot_be_read_again_leaves_the_mark_whole() -> None:
    harsh = np.random.default_rng(8).integers(0, 2, (64, 96, 3), dtype=np.uint8) * 255
    image, mask = Image.fromarray(harsh).resize(SIZE, Image.Resampling.NEAREST), region(200, 190)
    assert has_room(mask)
    assert embed(image, mask, KEY, MESSAGE).tobytes() == embed(image, mask, KEY).tobytes()


def test_one_wrong_symbol_makes_no_other_message() -> None:
    right = _symbols(MESSAGE, KEY)
    assert _message(right, KEY) == MESSAGE
    wrong = [[symbol ^ (place == index) * 7 for index, symbol in enumerate(right)] for place in range(4)]
    assert [_message(symbols, KEY) for symbols in wrong] == [None] * 4
    assert _message(right, b"another") is None


def test_only_32_bits_fit(photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        embed(photo, region(300, 262), KEY, 1 << 32)
