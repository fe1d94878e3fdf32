"""Image files to upload."""

import struct
import zlib
from io import BytesIO

from PIL import Image
from pillow_heif import register_heif_opener

register_heif_opener()  # for `save`


def png(color: str = "red", size: tuple[int, int] = (96, 96)) -> bytes:
    """A small image."""
    file = BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


def photo(name: str, size: tuple[int, int] = (96, 96)) -> bytes:
    """A small file of the format that Pillow calls `name`."""
    file = BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(file, name, quality=90)
    return file.getvalue()


def header_of(width: int, height: int) -> bytes:
    """A PNG whose header claims this size, with almost no data."""
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0")),
        (b"IEND", b""),
    )
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + body
