"""What NIMA knows of the quality of its edits: `request.MEASURES`."""

from lipe_core.methods.nima.edit_mask import EditMask
from lipe_core.methods.session import EditSession


def measures(session: EditSession, mask: EditMask) -> list[dict[str, float]]:
    """The measures of each edit. Without a figure or with the user's own mask, NIMA did not choose the region."""
    if mask.figure is None or session.request.mask is not None:
        return [{} for _ in session.rows]
    return [{"mask_share": share} for share in mask.pixels.mean(dim=(1, 2, 3)).tolist()]
