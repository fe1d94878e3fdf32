"""Published results: an invisible watermark in the pixels that a model may have changed, and a visible label."""

from dataclasses import dataclass

from PIL import Image

from ledger.edits import mark_number
from lipe_core.errors import InvalidRequest
from lipe_core.methods.request import Edit
from provenance.visible_label import add_label
from provenance.watermark import embed

PUBLISHED = "published"


@dataclass(frozen=True)
class Marks:
    """The marks of published results: the watermark's key and message, and whether a visible label is added."""

    key: bytes
    message: int
    has_label: bool


def result_marks(result_kind: str, has_label: bool, key: str, edit_id: str) -> Marks | None:
    """The marks of an edit's results. None: they are archival.

    Raises InvalidRequest if the service has no key.
    """
    if result_kind != PUBLISHED:
        return None
    if not key:
        raise InvalidRequest("published results need a watermark, and the operator has not set LIPE_WATERMARK_KEY")
    return Marks(key.encode(), mark_number(edit_id), has_label)


def published(edit: Edit, role: str, image: Image.Image, edit_mask: Image.Image, marks: Marks) -> Image.Image:
    """One of the edit's images with the marks; a mask unchanged.

    The watermark lies in the edit mask, or everywhere if no source pixels returned. The label comes last and lies in
    the corner, also outside the mask.
    """
    if role.endswith("_mask"):
        return image
    is_composited = role == "image" and edit.source is not None
    region = edit_mask if is_composited else Image.new("L", image.size, 255)
    marked = embed(image, region, marks.key, marks.message)
    return add_label(marked) if marks.has_label else marked
