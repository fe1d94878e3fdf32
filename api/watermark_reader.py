"""Search of the watermark in an untrusted file, in a decoding process: see api.decoder."""

from PIL import Image, ImageOps

from api.image_formats import ImageRefused, open_image, unreadable
from api.image_sanitizer import check_size

SMALLEST_SIDE = 1


def find_watermark(content: bytes, key: bytes) -> bool:
    """Whether the image has the key's watermark. Raises ImageRefused, and MemoryError."""
    from provenance.watermark import SIDE, detect  # late: numpy must not be imported before the process has its limits

    source = open_image(content)
    check_size(source, SMALLEST_SIDE)
    try:
        source.load()
        image = ImageOps.exif_transpose(source)
        image.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.BOX)
        return detect(image.convert("RGB"), key).is_found
    except (ImageRefused, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        raise unreadable(error) from error
