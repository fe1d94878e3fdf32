"""Which parts of a drawing the UNet should learn hardest: a face is a few of 256 latents, and half of its words.

The loss is weighed by these maps. Where the noise leaves no doubt of the drawing, weights do not move the optimum;
they only share out the steps: without them, sky and grass take most.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from menagerie.attributes import Drawing, with_action
from menagerie.draw import mask, render

_SUBJECT = 2.0
_DETAIL = 5.0
_SEEN = 24  # of 255: a smaller change of a pixel is antialiasing


def emphasis(drawing: Drawing, side: int) -> npt.NDArray[np.float16]:
    """The weight of each latent, (side, side): 1, more on the subject, most where its face or what it wears shows."""
    return (1 + _SUBJECT * mask(drawing, side) + _DETAIL * _detail(drawing, side)).astype(np.float16)


def _detail(drawing: Drawing, side: int) -> npt.NDArray[np.bool_]:
    """Where another expression, or nothing worn, would show: both places are found by drawing them."""
    other = "neutral" if drawing.action.expression == "surprised" else "surprised"
    bare = replace(drawing, identity=replace(drawing.identity, accessory="none"))
    size = 2 * side
    drawn = render(drawing, size).astype(np.int16)
    changed = [
        np.abs(drawn - render(variant, size)).max(axis=2) for variant in (with_action(drawing, expression=other), bare)
    ]
    return (np.maximum(*changed) > _SEEN).reshape(side, 2, side, 2).any(axis=(1, 3))
