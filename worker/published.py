"""Published results: the invisible watermark in the pixels that a model may have changed."""

from PIL import Image

from lipe_core.errors import InvalidRequest
from lipe_core.methods.request import Edit, EditImages
from provenance.watermark import embed

PUBLISHED = "published"


def watermark_key(result_kind: str, key: str) -> bytes | None:
    """The key of the watermark. None: the results are archival. Raises InvalidRequest if the service has no key."""
    if result_kind != PUBLISHED:
        return None
    if not key:
        raise InvalidRequest("published results need a watermark, and the operator has not set LIPE_WATERMARK_KEY")
    return key.encode()


def published(edit: Edit, images: EditImages, key: bytes) -> EditImages:
    """The edit's images with the mark: in the edit mask, or everywhere if no source pixels returned."""
    everywhere = Image.new("L", images.image.size, 255)
    mask = images.edit_mask if edit.source is not None else everywhere
    return images._replace(
        image=embed(images.image, mask, key), uncomposited=embed(images.uncomposited, everywhere, key)
    )
