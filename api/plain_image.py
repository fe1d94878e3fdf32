"""The file of an image without anything but its pixels and colours, for the raters of a study.

Content Credentials name the method that made a result, so a rater who reads them would know the system.
Formats: PNG (ISO/IEC 15948), JPEG (T.81), and WebP (RFC 9649).
"""

import struct
from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"IDAT", b"IEND"})
WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP"})
WEBP_METADATA_FLAGS = 0b0000_1100
"""The bits of VP8X that announce EXIF and XMP."""
JPEG_SCAN, JPEG_COMMENT = 0xDA, 0xFE
JPEG_KEPT_APPS = frozenset({0xE0, 0xE2, 0xEE})
"""JFIF, the colour profile, and Adobe's note about the colours."""


class UnknownFormat(ValueError):
    """The file is of none of the formats."""


def plain(content: bytes) -> bytes:
    """The same image without metadata. Raises UnknownFormat."""
    if content.startswith(PNG_SIGNATURE):
        return PNG_SIGNATURE + b"".join(_png(content))
    if content.startswith(b"\xff\xd8"):
        return b"\xff\xd8" + b"".join(_jpeg(content))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        body = b"WEBP" + b"".join(_webp(content))
        return b"RIFF" + struct.pack("<I", len(body)) + body
    raise UnknownFormat("neither PNG nor JPEG nor WebP")


def _png(content: bytes) -> Iterator[bytes]:
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, place)
        end = place + 12 + size
        if content[place + 4 : place + 8] in PNG_KEPT:
            yield content[place:end]
        place = end


def _webp(content: bytes) -> Iterator[bytes]:
    place = 12
    while place + 8 <= len(content):
        (size,) = struct.unpack_from("<I", content, place + 4)
        end, kind = place + 8 + size + size % 2, content[place : place + 4]
        if kind == b"VP8X":
            chunk = bytearray(content[place:end])
            chunk[8] &= ~WEBP_METADATA_FLAGS
            yield bytes(chunk)
        elif kind in WEBP_KEPT:
            yield content[place:end]
        place = end


def _jpeg(content: bytes) -> Iterator[bytes]:
    place = 2
    while place + 4 <= len(content):
        marker = content[place + 1]
        if marker == JPEG_SCAN:  # what follows is the image
            yield content[place:]
            return
        (size,) = struct.unpack_from(">H", content, place + 2)
        is_app = 0xE0 <= marker <= 0xEF
        if marker != JPEG_COMMENT and (not is_app or marker in JPEG_KEPT_APPS):
            yield content[place : place + 2 + size]
        place += 2 + size
