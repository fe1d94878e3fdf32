"""Images for raters: the same pixels and colours, and no metadata."""

import io

import pytest
from PIL import Image, PngImagePlugin

from api.plain_image import UnknownFormat, plain

SECRET = b"the method is NIMA"


def image(mode: str = "RGB") -> Image.Image:
    image = Image.effect_noise((40, 30), 80).convert(mode)
    image.info.clear()
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E] = SECRET.decode()
    return tags


def png_with_text(mode: str) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add(b"caBX", SECRET)  # the chunk of Content Credentials
    return saved(image(mode), "PNG", pnginfo=text, exif=exif(), icc_profile=b"a profile")


@pytest.mark.parametrize(
    "content",
    [
        *(png_with_text(mode) for mode in ("RGB", "RGBA", "L", "P")),
        saved(image(), "JPEG", exif=exif(), comment=SECRET, icc_profile=b"a profile", xmp=SECRET),
        saved(image("CMYK"), "JPEG", exif=exif(), progressive=True),
        saved(image(), "WEBP", exif=exif(), xmp=SECRET, icc_profile=b"a profile", lossless=True),
        saved(image("RGBA"), "WEBP", exif=exif(), quality=60),
    ],
    ids=["PNG", "PNG with alpha", "grey PNG", "PNG with a palette", "JPEG", "CMYK", "WebP", "WebP with alpha"],
)
def test_metadata_is_removed_and_the_pixels_stay(content: bytes) -> None:
    assert SECRET in content
    bare = plain(content)
    assert SECRET not in bare
    before, after = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(bare))
    assert (after.mode, after.tobytes()) == (before.mode, before.tobytes())
    assert after.info.get("icc_profile") == before.info.get("icc_profile")
    assert not after.getexif()
    assert plain(bare) == bare


def test_a_jpeg_keeps_no_application_segment_of_content_credentials() -> None:
    content = saved(image(), "JPEG")
    segment = b"\xff\xeb" + (len(SECRET) + 2).to_bytes(2, "big") + SECRET
    assert plain(content[:2] + segment + content[2:]) == plain(content) == content


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"RIFF\x00\x00\x00\x00WAVE", b"\x89PNG", b"<svg/>"])
def test_other_formats_are_refused(content: bytes) -> None:
    with pytest.raises(UnknownFormat):
        plain(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_shortened_file_ends(kind: str) -> None:
    content = saved(image(), kind)
    for length in range(12, len(content), 7):
        assert len(plain(content[:length])) <= length + 12
