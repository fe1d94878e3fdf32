"""The bodies of images in answers."""

from api.fields import Moment, ResponseModel


class ImageBody(ResponseModel):
    """A stored image: an sRGB file of `width` x `height` pixels and `size` bytes.

    It is a JPEG if the uploaded file was an upright JPEG in sRGB, and otherwise a PNG. Neither changes a pixel.
    """

    id: str
    """Id of the image."""

    width: int
    """Width in pixels, after the rotation that EXIF asks for."""

    height: int
    """Height in pixels, after the rotation that EXIF asks for."""

    content_type: str
    """Media type of the stored file: `image/jpeg` or `image/png`."""

    size: int
    """Size of the stored file in bytes."""

    sha256: str
    """SHA-256 of the stored file, in hexadecimal."""

    faces: int | None
    """Number of human faces that the service found; null if it did not look. A subject with a face in its references
    needs consent."""

    created_at: Moment
    """Time at which the image was stored, in UTC."""


class DownloadableImage(ImageBody):
    """An image with a signed URL of its file, valid for a few minutes."""

    url: str
    """Signed URL of the file, valid for a few minutes. Each answer has a new one: read it again instead of storing
    it."""
