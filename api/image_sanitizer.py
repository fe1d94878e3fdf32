"""Sanitizing of uploaded images: an untrusted file becomes a new PNG, rebuilt from its pixels.

Format, size and number of frames are checked from the header before anything is decoded. Colors become sRGB with 8 bits
a channel, and transparency becomes white. The new PNG holds pixels alone: no EXIF (places, serial numbers), no XMP, no
profile, no text, no bytes behind the end of the file.
"""

from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms, ImageOps

SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF"}
MAX_SIDE = 8192
MAX_PIXELS = 50_000_000  # decoded: 200 MB at 4 bytes each
PNG_COMPRESSION = 3  # zlib's default level takes three times as long to save a few percent


class ImageRefused(ValueError):
    """The file is refused: a problem's code, and what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True)
class SanitizedImage:
    """An image in 8-bit sRGB without metadata; `png` is the file."""

    width: int
    height: int
    png: bytes


def sanitize_image(content: bytes, *, max_bytes: int, min_side: int) -> SanitizedImage:
    """Rebuild the image of an uploaded file. Raises ImageRefused, with a code of its own for each kind of refusal."""
    if len(content) > max_bytes:
        raise ImageRefused("image_too_large", f"the file has {len(content)} bytes: send at most {max_bytes}")
    source = _opened(content, _format(content))
    _check_header(source, min_side)
    try:
        source.load()
        image = _flat(_srgb(_eight_bit(ImageOps.exif_transpose(source))))
    except MemoryError:  # the process's limit, not a fault of the file
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        raise _unreadable(error) from error
    rebuilt = Image.frombytes("RGB", image.size, image.tobytes())
    png = BytesIO()
    rebuilt.save(png, "PNG", compress_level=PNG_COMPRESSION)
    return SanitizedImage(*rebuilt.size, png.getvalue())


def _format(content: bytes) -> str:
    for name, signature in SIGNATURES.items():
        if content.startswith(signature) and (name != "WEBP" or content[8:12] == b"WEBP"):
            return name
    raise ImageRefused("image_format_unsupported", "send a JPEG, PNG or WebP file: the first bytes match none of them")


def _opened(content: bytes, name: str) -> Image.Image:
    try:
        return Image.open(BytesIO(content), formats=[name])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except MemoryError:  # as above
        raise
    except Exception as error:
        raise _unreadable(error) from error


def _check_header(source: Image.Image, min_side: int) -> None:
    """Refuse by the header alone, before anything is decoded."""
    if source.width * source.height > MAX_PIXELS:
        raise _too_many_pixels()
    if min(source.size) < min_side or max(source.size) > MAX_SIDE:
        raise ImageRefused(
            "image_sides_out_of_range",
            f"the image is {source.width} x {source.height} pixels: send one with sides of {min_side} to {MAX_SIDE}",
        )
    # The MPO of a phone is a still image: its further frames are thumbnails and depth maps.
    if getattr(source, "is_animated", False) and source.format != "MPO":
        raise ImageRefused("image_animated", "the image has several frames: send a still image")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Convert palettes, 1-bit and 16-bit grays to 8-bit L, LA, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        # Pillow clips at 255 when it converts: scale 16-bit grays to the range 0 to 255 first.
        wide = image.convert("I")
        return wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "P":
        return image.convert("RGB")
    return image.convert("L") if image.mode == "1" else image


def _srgb(image: Image.Image) -> Image.Image:
    """Convert to RGB or RGBA in the sRGB color space. A profile that cannot be used is ignored."""
    profile = image.info.get("icc_profile")
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colors = image.convert({"LA": "L", "RGBA": "RGB"}.get(image.mode, image.mode))
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            colors = ImageCms.profileToProfile(colors, source, target, outputMode="RGB") or colors
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    colors = colors.convert("RGB")
    if alpha is not None:
        colors.putalpha(alpha)
    return colors


def _flat(image: Image.Image) -> Image.Image:
    """Replace transparency by white."""
    if image.mode != "RGBA":
        return image
    background = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(background, image).convert("RGB")


def _too_many_pixels() -> ImageRefused:
    return ImageRefused("image_too_many_pixels", f"send an image with at most {MAX_PIXELS // 1_000_000} million pixels")


def _unreadable(error: Exception) -> ImageRefused:
    return ImageRefused("image_unreadable", f"the file ends early or is damaged: export it again ({error})")
