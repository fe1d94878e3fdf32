"""The watermark stays in its region, survives what images meet, and is found by its own key alone."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from provenance.watermark import THRESHOLD, Found, detect, embed
from provenance.watermark_signal import SMALLEST

KEY, SIZE = b"a key", (768, 512)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A soft texture."""
    return Image.effect_noise(SIZE, 50).convert("RGB").filter(ImageFilter.GaussianBlur(2))


@pytest.fixture(scope="module")
def marked(photo: Image.Image) -> Image.Image:
    """The photo, marked in a fifth of its area."""
    return embed(photo, region(), KEY)


def region() -> Image.Image:
    """A rectangle of 300 x 262 pixels; its border is gray, below and above the middle."""
    mask = Image.new("L", SIZE, 127)
    mask.paste(128, (200, 100, 500, 362))
    return mask


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The image after a JPEG file."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


def test_only_the_region_changes_and_only_a_little(photo: Image.Image, marked: Image.Image) -> None:
    before, after = np.asarray(photo, float), np.asarray(marked, float)
    inside = np.asarray(region()) >= 128
    assert (before[~inside] == after[~inside]).all()
    assert 34 < 10 * np.log10(255**2 / np.mean((before - after)[inside] ** 2)) < 46


def test_it_survives_what_images_meet(marked: Image.Image) -> None:
    half = marked.resize((384, 256), Image.Resampling.BICUBIC)
    crop = marked.crop((150, 60, 611, 367))  # 60 % of each side
    for changed in (marked, jpeg(marked, 50), jpeg(half, 80), jpeg(crop, 70)):
        assert detect(changed, KEY).is_found


def test_without_the_mark_or_with_another_key_nothing_is_found(photo: Image.Image, marked: Image.Image) -> None:
    flat, stripes = (
        Image.new("RGB", SIZE, "white"),
        Image.fromarray(np.indices((512, 512))[1].astype(np.uint8) // 8 * 30),
    )
    for image, key in ((photo, KEY), (marked, b"another"), (flat, KEY), (stripes, KEY)):
        assert not detect(image, key).is_found
    assert detect(Image.new("L", (SMALLEST - 1, 500)), KEY) == Found(0.0, 1.0)


def test_a_small_mark_is_found_at_its_place() -> None:
    noise = np.random.default_rng(0).integers(256, size=(*SIZE[::-1], 3), dtype=np.uint8)
    photo = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (300, 200, 425, 325))  # 4 % of the image
    for image, is_found in ((jpeg(embed(photo, mask, KEY), 60), True), (photo, False)):
        found = detect(image, KEY)
        assert found.score < THRESHOLD  # as chance may score at one of millions of other places
        assert found.is_found == is_found


def test_a_large_image_is_marked_as_its_small_copy(photo: Image.Image) -> None:
    large = photo.resize((1536, 1024))
    marked = embed(large, Image.new("L", large.size, 255), KEY)
    assert detect(marked.resize((512, 341)), KEY).period == pytest.approx(1, abs=0.01)
