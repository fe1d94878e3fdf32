"""Whether the frame cuts a subject off: how much of each side of the image its silhouette covers."""

from typing import Literal

from lipe_core.shapes import PixelMask

Side = Literal["left", "top", "right", "bottom"]

_LEAST = 0.05
"""Share of a side's pixels. Silhouettes are right to a few pixels, so that a subject that is near a side may touch it
at a few of them."""


def cut_off_sides(silhouette: PixelMask) -> list[Side]:
    """The sides that a silhouette, a batch of one, covers enough of."""
    plane = silhouette[0, 0] > 0
    covered: dict[Side, float] = {
        "left": float(plane[:, 0].float().mean()),
        "top": float(plane[0].float().mean()),
        "right": float(plane[:, -1].float().mean()),
        "bottom": float(plane[-1].float().mean()),
    }
    return [side for side, share in covered.items() if share > _LEAST]
