"""Loss weights: which parts of a drawing the UNet and the face generator must learn most precisely.

A face covers a few of the 256 latents, but half of the words of a caption describe it. Without weights, sky and grass
take most of the gradient. The weights do not change the optimum if the noisy latents determine the drawing.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from menagerie.attributes import Drawing, with_action
from menagerie.draw import mask, render

_SUBJECT = 2.0
_DETAIL = 5.0
_VISIBLE_CHANGE = 24  # of 255: a smaller change of a pixel is antialiasing


def loss_weights(drawing: Drawing, side: int) -> npt.NDArray[np.float16]:
    """The weight of each latent, (side, side): 1 on the background, 3 on the subject, 8 on its face and accessory."""
    return (1 + _SUBJECT * mask(drawing, side) + _DETAIL * _detail(drawing, side)).astype(np.float16)


def _detail(drawing: Drawing, side: int) -> npt.NDArray[np.bool_]:
    """The latents that another expression or the lack of the accessory would change, found by rendering both."""
    other_expression = "neutral" if drawing.action.expression == "surprised" else "surprised"
    without_accessory = replace(drawing, identity=replace(drawing.identity, accessory="none"))
    size = 2 * side
    original = render(drawing, size).astype(np.int16)
    changed = [
        np.abs(original - render(variant, size)).max(axis=2)
        for variant in (with_action(drawing, expression=other_expression), without_accessory)
    ]
    return np.asarray((np.maximum(*changed) > _VISIBLE_CHANGE).reshape(side, 2, side, 2).any(axis=(1, 3)))
