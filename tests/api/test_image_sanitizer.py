"""Sanitizing: files in every color space and disguise become plain sRGB PNGs, or are refused."""

import struct
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from api.image_formats import ImageRefused
from api.image_sanitizer import SanitizedImage, sanitize_image
from tests.support.uploads import header_of

MIB = 1 << 20
HALVES = np.zeros((80, 120, 3), np.uint8)
HALVES[:, :60] = (200, 30, 40)
HALVES[:, 60:] = (20, 60, 220)


def encoded(image: Image.Image, name: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def sanitized(content: bytes, *, max_bytes: int = 32 * MIB, min_side: int = 64) -> SanitizedImage:
    return sanitize_image(content, max_bytes=max_bytes, min_side=min_side)


def pixels(image: SanitizedImage) -> np.ndarray:
    with Image.open(BytesIO(image.content)) as opened:
        assert opened.mode == "RGB"
        assert opened.get_format_mimetype() == image.content_type
        assert opened.size == (image.width, image.height)
        return np.asarray(opened).astype(int)


def refusal(content: bytes, **bounds: int) -> str:
    with pytest.raises(ImageRefused) as caught:
        sanitized(content, **bounds)
    return caught.value.code


def chunks(png: bytes) -> set[bytes]:
    found, place = set(), 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        found.add(png[place + 4 : place + 8])
        place += 12 + length
    return found


@pytest.mark.parametrize(
    ("name", "options", "tolerance"), [("PNG", {}, 0), ("JPEG", {"quality": 95}, 6), ("WEBP", {}, 12)]
)
def test_the_three_formats_keep_their_pixels(name: str, options: dict[str, object], tolerance: int) -> None:
    got = pixels(sanitized(encoded(Image.fromarray(HALVES), name, **options)))
    assert np.abs(got[:, ::45] - HALVES[:, ::45]).max() <= tolerance


def test_all_metadata_is_dropped() -> None:
    text, exif = PngInfo(), Image.Exif()
    text.add_text("Comment", "secret")
    exif[Base.Make] = "secret"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(Image.fromarray(HALVES), pnginfo=text, exif=exif, icc_profile=srgb, dpi=(72, 72)) + b"secret tail"
    png = sanitized(content).content
    assert chunks(png) == {b"IHDR", b"IDAT", b"IEND"}
    assert b"secret" not in png


def test_exif_orientation_turns_the_pixels() -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = 6  # the camera was held upright: rotate by 90 degrees clockwise
    image = sanitized(encoded(Image.fromarray(HALVES), exif=exif))
    assert (image.width, image.height) == (80, 120)
    assert np.array_equal(pixels(image), np.rot90(HALVES, -1))


def test_cmyk_becomes_rgb() -> None:
    got = pixels(sanitized(encoded(Image.fromarray(HALVES).convert("CMYK"), "JPEG", quality=95)))
    assert got[40, 30, 0] > 180 > 60 > got[40, 30, 2]
    assert got[40, 90, 2] > 180 > 60 > got[40, 90, 0]


@pytest.mark.parametrize("value", [0, 128, 255])
def test_16_bit_gray_keeps_its_brightness(value: int) -> None:
    deep = Image.fromarray(np.full((80, 80), value * 257, np.uint16))
    assert np.all(pixels(sanitized(encoded(deep))) == value)


def test_a_palette_and_its_transparency_become_rgb_on_white() -> None:
    palette = Image.new("P", (80, 80), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.paste(1, (40, 0, 80, 80))
    assert tuple(pixels(sanitized(encoded(palette)))[0, 79]) == (200, 100, 50)
    seen = pixels(sanitized(encoded(palette, transparency=0)))
    assert tuple(seen[0, 0]) == (255, 255, 255)
    assert tuple(seen[0, 79]) == (200, 100, 50)


@pytest.mark.parametrize(("mode", "color", "expected"), [
    ("RGBA", (0, 0, 0, 0), 255), ("RGBA", (0, 0, 0, 255), 0), ("RGBA", (0, 0, 0, 128), 127), ("LA", (0, 0), 255),
    ("1", 1, 255), ("L", 77, 77),
])  # fmt: skip
def test_transparency_is_flattened_on_white(mode: str, color: tuple[int, ...] | int, expected: int) -> None:
    assert np.abs(pixels(sanitized(encoded(Image.new(mode, (80, 80), color)))) - expected).max() <= 1


def test_a_wide_profile_is_converted_to_srgb() -> None:
    """With red and green swapped in its profile, a green image becomes red."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    swapped = bytes(srgb).replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    got = pixels(sanitized(encoded(Image.new("RGB", (80, 80), (0, 255, 0)), icc_profile=swapped)))
    assert got[0, 0, 0] > 250 > 5 > got[0, 0, 1]


def test_a_broken_profile_is_ignored() -> None:
    content = encoded(Image.fromarray(HALVES), icc_profile=b"not a profile")
    assert np.array_equal(pixels(sanitized(content)), HALVES)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<svg/>", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE", encoded(Image.fromarray(HALVES), "GIF")]
)
def test_other_formats_are_refused_by_their_first_bytes(content: bytes) -> None:
    assert refusal(content) == "image_format_unsupported"


@pytest.mark.parametrize("size", [(10_000, 10_000), (30_000, 30_000), (8000, 8000)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    assert refusal(header_of(*size)) == "image_too_many_pixels"


@pytest.mark.parametrize("size", [(63, 200), (200, 63), (8193, 100)])
def test_sides_are_limited(size: tuple[int, int]) -> None:
    assert refusal(header_of(*size)) == "image_sides_out_of_range"


def test_the_minimum_side_is_a_setting() -> None:
    content = encoded(Image.fromarray(HALVES))
    assert refusal(content, min_side=256) == "image_sides_out_of_range"
    assert sanitized(content, min_side=80).height == 80


@pytest.mark.parametrize("name", ["PNG", "WEBP"])
def test_animations_are_refused(name: str) -> None:
    frames = [Image.new("RGB", (80, 80), color) for color in ("red", "green", "blue")]
    assert refusal(encoded(frames[0], name, save_all=True, append_images=frames[1:])) == "image_animated"


def test_the_multi_image_file_of_a_phone_is_a_still_image() -> None:
    frames = [Image.fromarray(HALVES), Image.fromarray(HALVES[:, ::-1])]
    got = pixels(sanitized(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)))
    assert np.abs(got[:, ::45] - HALVES[:, ::45]).max() <= 6


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), name)
    assert refusal(content[: int(len(content) * share)]) == "image_unreadable"


def test_a_lack_of_memory_is_not_reported_as_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", out_of_memory)
    with pytest.raises(MemoryError):
        sanitize_image(b"\x89PNG\r\n\x1a\n", max_bytes=100, min_side=1)


def test_the_file_size_is_limited() -> None:
    content = encoded(Image.fromarray(HALVES))
    assert refusal(content, max_bytes=len(content) - 1) == "image_too_large"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_raises_no_other_exception(data: st.DataObject) -> None:
    """Changed bytes give an image or a refusal. `keep_jpeg` would end this process: tests/api/test_decoder.py."""
    name = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP"]))
    content = bytearray(encoded(Image.fromarray(HALVES), name))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ImageRefused):
        assert sanitize_image(bytes(content), max_bytes=MIB, min_side=64, keep_jpeg=False).width > 0
