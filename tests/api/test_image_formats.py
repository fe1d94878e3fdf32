"""HEIC and AVIF, the formats of phones: they become the same plain images as the other formats, or are refused."""

import struct
from contextlib import suppress
from io import BytesIO

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from api.image_formats import ImageRefused, open_image
from tests.api.test_image_sanitizer import HALVES, encoded, pixels, refusal, sanitized

pillow_heif.register_heif_opener()  # for `save`
FORMATS = ("HEIF", "AVIF")
UPRIGHT = 6  # EXIF: rotate by 90 degrees clockwise


def file(array: np.ndarray, name: str, **options: object) -> bytes:
    return encoded(Image.fromarray(array), name, quality=95, **options)


def rotated(name: str) -> bytes:
    """HALVES, to be shown rotated. Both formats have properties of their own for this, which their encoders set."""
    exif, image = Image.Exif(), Image.fromarray(HALVES)
    exif[Base.Orientation] = UPRIGHT
    image.info["exif"] = exif.tobytes()
    return encoded(image, name, quality=95, **({"exif": exif} if name == "AVIF" else {}))


def claims_size(content: bytes, width: int, height: int) -> bytes:
    """The file of HALVES with another size in its header (the box `ispe`)."""
    start = b"ispe" + bytes(4)
    true_size = start + struct.pack(">II", 120, 80)
    assert true_size in content
    return content.replace(true_size, start + struct.pack(">II", width, height))


@pytest.mark.parametrize("name", FORMATS)
def test_the_pixels_are_kept(name: str) -> None:
    assert np.abs(pixels(sanitized(file(HALVES, name)))[:, ::45] - HALVES[:, ::45]).max() <= 6


def test_a_photo_of_tiles_is_one_image() -> None:
    """Phones store a photo as a grid of tiles."""
    big = np.tile(HALVES, (3, 2, 1))
    tiled = file(big, "HEIF", tile_size=64)
    assert b"grid" in tiled
    assert np.abs(pixels(sanitized(tiled))[::40, ::45] - big[::40, ::45]).max() <= 6


@pytest.mark.parametrize("name", FORMATS)
def test_the_rotation_is_applied_once(name: str) -> None:
    content = rotated(name)
    assert b"irot" in content
    image = sanitized(content)
    assert (image.width, image.height) == (80, 120)
    assert np.abs(pixels(image)[::45] - np.rot90(HALVES, -1)[::45]).max() <= 6


def test_the_orientation_in_the_exif_of_a_heic_file_has_no_effect() -> None:
    """ISO/IEC 23008-12: the orientation is `irot` and `imir` alone; EXIF only says how the camera was held."""
    exif = Image.Exif()
    exif[Base.Orientation] = UPRIGHT
    content = encoded(Image.fromarray(HALVES), "HEIF", quality=95, exif=exif)
    assert b"irot" not in content
    assert sanitized(content).width == 120


@pytest.mark.parametrize("primary", [0, 1])
def test_the_primary_image_of_several_is_used(primary: int) -> None:
    frames = [HALVES, HALVES[:, ::-1].copy()]
    others = [Image.fromarray(frames[1])]
    content = encoded(
        Image.fromarray(frames[0]), "HEIF", quality=95, save_all=True, append_images=others, primary_index=primary
    )
    assert np.abs(pixels(sanitized(content))[:, ::45] - frames[primary][:, ::45]).max() <= 6


def test_an_avif_animation_is_refused() -> None:
    frames = [Image.fromarray(HALVES), Image.fromarray(HALVES[:, ::-1])]
    assert refusal(encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])) == "image_animated"


def test_10_bits_become_8() -> None:
    deep = np.full((80, 80, 3), (60_000, 20_000, 10_000), np.uint16)
    content = BytesIO()
    pillow_heif.from_bytes("RGB;16", (80, 80), deep.tobytes()).save(content, quality=-1, chroma=444)
    assert open_image(content.getvalue()).info["bit_depth"] == 10
    assert np.abs(pixels(sanitized(content.getvalue()))[0, 0] - (233, 78, 39)).max() <= 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_wide_profile_is_converted_and_dropped(name: str) -> None:
    """With red and green swapped in its profile, a green image becomes red."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    content = encoded(Image.new("RGB", (80, 80), (0, 255, 0)), name, quality=95, icc_profile=swapped)
    got = pixels(sanitized(content))
    assert got[0, 0, 0] > 240 > 15 > got[0, 0, 1]


@pytest.mark.parametrize("name", FORMATS)
def test_transparency_is_flattened_on_white(name: str) -> None:
    half = Image.new("RGBA", (80, 80), (0, 0, 0, 128))
    assert np.abs(pixels(sanitized(encoded(half, name, quality=95))) - 127).max() <= 2


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated_files_are_refused(name: str, share: float) -> None:
    content = file(HALVES, name)
    with pytest.raises(ImageRefused) as caught:
        sanitized(content[: int(len(content) * share)])
    assert caught.value.code in {"image_unreadable", "image_format_unsupported"}
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("size", "code"), [((8192, 8192), "image_too_many_pixels"), ((9000, 100), "image_sides_out_of_range"),
                       ((100_000, 100_000), "image_too_many_pixels"), ((40, 30), "image_sides_out_of_range")]
)  # fmt: skip
def test_a_bomb_is_refused_by_its_header(name: str, size: tuple[int, int], code: str) -> None:
    limit_of_libavif = {"image_unreadable"} if name == "AVIF" and max(size) > 32_768 else set()
    assert refusal(claims_size(file(HALVES, name), *size)) in {code} | limit_of_libavif


def test_a_heic_file_that_is_larger_than_its_header_says_is_refused() -> None:
    """The header passes the limits; only the encoded image breaks them."""
    content = claims_size(file(HALVES, "HEIF"), 100, 80)
    assert refusal(content) == "image_unreadable"


@pytest.mark.parametrize("brand", [b"avci", b"mp42", b"hevc", b"jpeg"])
def test_videos_and_other_codecs_are_refused_by_their_brand(brand: bytes) -> None:
    content = file(HALVES, "HEIF").replace(b"heic", brand)
    assert refusal(content) == "image_format_unsupported"


def test_a_compatible_brand_is_enough() -> None:
    content = file(HALVES, "HEIF").replace(b"ftypheic", b"ftypmif1", 1)
    assert sanitized(content).width == 120


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_file_raises_no_other_exception(data: st.DataObject) -> None:
    """Changed bytes give an image or a refusal."""
    content = bytearray(FILES[data.draw(st.sampled_from(FORMATS))])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ImageRefused):
        assert sanitized(bytes(content)).width > 0


FILES = {name: file(HALVES, name) for name in FORMATS}
