"""The formats of uploaded images: recognized by a file's first bytes, opened by the decoder of that format alone."""

from collections.abc import Callable
from io import BytesIO

import pillow_heif
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from pillow_heif import HeifImageFile

MAX_PIXELS = 50_000_000  # decoded: 200 MB at 4 bytes each
SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n"}
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "HEIF": "image/heic",
    "AVIF": "image/avif",
}
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis"})
"""Brands of still HEVC images. HEIF files with other codecs, and image sequences, have other brands."""
LARGEST_FTYP = 256
NAMES = "JPEG, PNG, WebP, HEIC or AVIF"
PHONE_FORMATS = frozenset({"MPO", "HEIF"})
"""Formats whose further frames are thumbnails, depth maps or a burst; the primary image is a still image."""

# Thumbnails and depth maps are never used: the less of an untrusted file is read, the better.
pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False


class ImageRefused(ValueError):
    """The file is refused: a problem's code, and what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


def open_image(content: bytes) -> Image.Image:
    """Read the header of a file; `load` decodes its primary image. Raises ImageRefused, and MemoryError."""
    opener = _opener(content)
    try:
        return opener(BytesIO(content))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels() from error
    except MemoryError:  # the process's limit, not a fault of the file
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        raise unreadable(error) from error


def media_type(image: Image.Image) -> str:
    """The media type of an opened file."""
    return MEDIA_TYPES.get(image.format or "", "image/png")


def unreadable(error: Exception) -> ImageRefused:
    """The refusal of a file that cannot be decoded."""
    reason = " ".join(str(error).split())  # that of libheif has several lines
    return ImageRefused("image_unreadable", f"the file ends early or is damaged: export it again ({reason})")


def too_many_pixels() -> ImageRefused:
    """The refusal of an image that is too large to be decoded."""
    return ImageRefused("image_too_many_pixels", f"send an image with at most {MAX_PIXELS // 1_000_000} million pixels")


def _opener(content: bytes) -> Callable[[BytesIO], Image.Image]:
    """The function that opens a file with these first bytes. Raises ImageRefused for another format."""
    for name, signature in SIGNATURES.items():
        if content.startswith(signature):
            return lambda file: Image.open(file, formats=[name])
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return lambda file: Image.open(file, formats=["WEBP"])
    brands = _brands(content)
    if brands & AVIF_BRANDS:
        return AvifImageFile
    if brands & HEIC_BRANDS:
        return HeifImageFile
    raise ImageRefused("image_format_unsupported", f"send a {NAMES} file: the first bytes match none of them")


def _brands(content: bytes) -> set[bytes]:
    """The major and the compatible brands of the `ftyp` box (ISO/IEC 14496-12, 4.3) with which HEIC and AVIF start."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4]), LARGEST_FTYP)
    return {content[8:12]} | {content[start : start + 4] for start in range(16, end, 4)}
