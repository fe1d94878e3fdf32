"""Reading of the Content Credentials of an untrusted file, in a decoding process: see api.decoder."""

from api.image_formats import ImageRefused, media_type, open_image
from provenance.reading import Credentials, Trust, read


def read_untrusted(content: bytes, trust: Trust, *, max_bytes: int) -> Credentials:
    """The credentials in an image's file, which is not decoded. Raises ImageRefused."""
    if len(content) > max_bytes:
        raise ImageRefused("image_too_large", f"the file has {len(content)} bytes: send at most {max_bytes}")
    return read(content, media_type(open_image(content)), trust)
