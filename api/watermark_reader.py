"""Search of the watermark in an untrusted file, in a decoding process: see api.decoder."""

from typing import NamedTuple

from PIL import Image, ImageOps

from api.image_formats import ImageRefused, open_image, unreadable
from api.image_sanitizer import check_size

SMALLEST_SIDE = 1


class ReadWatermark(NamedTuple):
    """Whether an image has the watermark, and the watermark's message. None: it has none that can be read."""

    is_found: bool
    message: int | None = None


def find_watermark(content: bytes, key: bytes) -> ReadWatermark:
    """Search the key's watermark in the image. Raises ImageRefused, and MemoryError."""
    from provenance.watermark import detect  # late: numpy must not be imported before the process has its limits
    from provenance.watermark_signal import SIDE

    source = open_image(content)
    check_size(source, SMALLEST_SIDE)
    try:
        source.load()
        image = ImageOps.exif_transpose(source)
        image.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.BOX)
        found = detect(image.convert("RGB"), key)
        return ReadWatermark(found.is_found, found.message)
    except (ImageRefused, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        raise unreadable(error) from error
