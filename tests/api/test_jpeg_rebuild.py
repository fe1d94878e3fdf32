"""A photo stays a JPEG of its size, exact to the pixel, and nothing else of its file is kept."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import GPS, IFD, Base

from tests.api.test_image_sanitizer import encoded, pixels, sanitized

SECRET = b"SECRET<script>alert(1)</script>"
RANDOM = np.random.default_rng(0)
SIDES = (123, 179)  # no multiples of the blocks
SMOOTH = Image.fromarray(RANDOM.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize(SIDES, Image.Resampling.BICUBIC)
PHOTO = Image.fromarray(np.clip(np.asarray(SMOOTH) + RANDOM.normal(0, 3, (*SIDES[::-1], 3)), 0, 255).astype(np.uint8))


def jpeg(**options: Any) -> bytes:
    return encoded(PHOTO, "JPEG", **{"quality": 92, **options})


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(int)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def exif() -> Image.Exif:
    """With a place, a serial number, and a thumbnail that shows more than the photo."""
    exif = Image.Exif()
    exif[Base.BodySerialNumber] = SECRET.decode()
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSAreaInformation] = SECRET
    return exif


HEAD = jpeg()[:2]
HOSTILE = {
    "exif": jpeg(exif=exif()),
    "thumbnail": HEAD + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0" + SECRET + jpeg(comment=SECRET)) + jpeg()[2:],
    "xmp": HEAD + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET) + jpeg()[2:],
    "comment": jpeg(comment=b"%PDF-1.7 " + SECRET),
    "application segment": HEAD + segment(0xE9, SECRET) + jpeg()[2:],
    "behind the end": jpeg() + b"PK\x03\x04" + SECRET,
    "second image behind the end": jpeg() + jpeg(comment=SECRET),
    "between the last scan and the end": jpeg()[:-2] + SECRET + jpeg()[-2:],
    "between the scans": jpeg(progressive=True).replace(b"\xff\xda", SECRET + b"\xff\xda").replace(SECRET, b"", 1),
    "in place of a table that is not used": HEAD + segment(0xDB, b"\x03" + SECRET.ljust(64, b"!")) + jpeg()[2:],
}


@pytest.mark.parametrize("options", [
    {}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 40}, {"restart_marker_rows": 1},
])  # fmt: skip
def test_the_pixels_are_exact_and_the_file_does_not_grow(options: dict[str, Any]) -> None:
    content = jpeg(**options)
    image = sanitized(content)
    assert (image.content_type, image.width, image.height) == ("image/jpeg", *SIDES)
    assert np.array_equal(pixels(image), decoded(content))
    assert len(image.content) < 1.02 * len(content)


def test_a_gray_photo_stays_gray() -> None:
    content = encoded(PHOTO.convert("L"), "JPEG", quality=92)
    image = sanitized(content)
    assert (image.content_type, Image.open(BytesIO(image.content)).mode) == ("image/jpeg", "L")
    assert np.array_equal(decoded(image.content), decoded(content))


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_but_the_pixels_is_kept(content: bytes) -> None:
    assert SECRET in content
    image = sanitized(content)
    assert image.content_type == "image/jpeg"
    assert np.array_equal(pixels(image), decoded(content))
    assert SECRET not in image.content
    assert markers(image.content) <= STRUCTURE
    assert image.content.endswith(b"\xff\xd9")


def markers(content: bytes) -> set[int]:
    """The markers of the segments up to the first scan."""
    found, place = set(), 2
    while content[place + 1] != 0xDA:
        found.add(content[place + 1])
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    return found


STRUCTURE = {0xE0, 0xDB, 0xC0, 0xC2, 0xC4, 0xDD}
"""JFIF, quantization tables, frames, Huffman tables and restart interval: the segments that decoding needs."""


def test_an_srgb_profile_is_dropped_without_a_change_of_the_pixels() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = jpeg(icc_profile=srgb)
    image = sanitized(content)
    assert image.content_type == "image/jpeg"
    assert np.array_equal(pixels(image), decoded(content))
    assert b"ICC_PROFILE" not in image.content


def test_a_rotated_photo_becomes_a_png_with_exactly_its_pixels() -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    content = jpeg(exif=exif)
    image = sanitized(content)
    assert (image.content_type, image.width, image.height) == ("image/png", *SIDES[::-1])
    assert np.array_equal(pixels(image), np.rot90(decoded(content), -1))


def test_other_colors_become_a_png() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    assert sanitized(jpeg(icc_profile=swapped)).content_type == "image/png"
    assert sanitized(encoded(PHOTO.convert("CMYK"), "JPEG")).content_type == "image/png"


def test_the_first_image_of_a_phone_is_kept() -> None:
    content = encoded(PHOTO, "MPO", save_all=True, append_images=[PHOTO.rotate(180)], quality=92)
    image = sanitized(content)
    assert image.content_type == "image/jpeg"
    assert np.array_equal(pixels(image), decoded(content))
