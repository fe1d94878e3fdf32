"""Rebuilding of a JPEG file without a loss: the coefficients of its blocks are decoded and written to a new file.

Only the numbers that make up the pixels survive. Segments with metadata, embedded thumbnails, bytes between the scans
and bytes behind the end do not: the new file has its own headers, tables and scans.
"""

from io import BytesIO

from mozjpeg_lossless_optimization import COPY_MARKERS, optimize
from PIL import Image

FORMATS = frozenset({"JPEG", "MPO"})
MODES = frozenset({"RGB", "L"})
"""Gray and color. Programs do not agree on the colors of a CMYK file."""


def rebuild_jpeg(content: bytes, source: Image.Image, image: Image.Image) -> bytes | None:
    """A new JPEG file that decodes to exactly the pixels of `image` (RGB), or None.

    `source` is the image of the file `content`. There is no new file if it is no JPEG, or if its pixels differ from
    `image` because it was rotated or its colors were converted.

    The library ends the process, with exit status 1, at coefficients that can be decoded but not encoded. Some damaged
    files have them.
    """
    if source.format not in FORMATS or source.mode not in MODES or not _are_equal(source, image):
        return None
    try:
        rebuilt: bytes = optimize(content, COPY_MARKERS.NONE)
    except ValueError:
        return None
    with Image.open(BytesIO(rebuilt), formats=["JPEG"]) as opened:
        return rebuilt if _are_equal(opened, image) else None


def _are_equal(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.convert("RGB").tobytes() == other.tobytes()
