"""Published results: an invisible watermark in the pixels that a model may have changed, and a visible label."""

from dataclasses import dataclass

from PIL import Image

from lipe_core.errors import InvalidRequest
from lipe_core.methods.request import Edit, EditImages
from provenance.visible_label import add_label
from provenance.watermark import embed

PUBLISHED = "published"


@dataclass(frozen=True)
class Marks:
    """The marks of published results: the watermark's key, and whether a visible label is added."""

    key: bytes
    has_label: bool


def result_marks(result_kind: str, has_label: bool, key: str) -> Marks | None:
    """The marks of a job's results. None: they are archival.

    Raises InvalidRequest if the service has no key.
    """
    if result_kind != PUBLISHED:
        return None
    if not key:
        raise InvalidRequest("published results need a watermark, and the operator has not set LIPE_WATERMARK_KEY")
    return Marks(key.encode(), has_label)


def published(edit: Edit, images: EditImages, marks: Marks) -> EditImages:
    """The edit's images with the watermark: in the edit mask, or everywhere if no source pixels returned.

    The label comes last and lies in the corner, also outside the mask.
    """
    everywhere = Image.new("L", images.image.size, 255)
    mask = images.edit_mask if edit.source is not None else everywhere
    image, uncomposited = (
        embed(unmarked, region, marks.key)
        for unmarked, region in ((images.image, mask), (images.uncomposited, everywhere))
    )
    if marks.has_label:
        image, uncomposited = add_label(image), add_label(uncomposited)
    return images._replace(image=image, uncomposited=uncomposited)
