"""What NIMA knows of the quality of its edits: `request.MEASURES`."""

from collections.abc import Sequence
from dataclasses import replace

from lipe_core.methods.nima.edit_mask import EditMask
from lipe_core.methods.request import Edit
from lipe_core.methods.session import EditSession


def measured(edits: Sequence[Edit], session: EditSession, mask: EditMask) -> list[Edit]:
    """The edits with their measures. Without a figure or with the user's own mask, NIMA did not choose the region."""
    if mask.figure is None or session.request.mask is not None:
        return list(edits)
    image, crop = session.request.image, session.crop
    cropped = (crop.height * crop.width) / (image.height * image.width)
    shares = (cropped * mask.pixels.mean(dim=(1, 2, 3))).tolist()
    return [replace(edit, measures={"mask_share": share}) for edit, share in zip(edits, shares, strict=True)]
