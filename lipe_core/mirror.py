"""Every reference a second time as in a mirror, so that a pose is not learnt along with the side it was seen from.

Of a few references often one alone shows a pose, and a prior that knows it from one side turns the subject round when
an edit asks for it. Mirrored pictures are the usual augmentation; captions must turn with them.
"""

import re
from collections.abc import Sequence

from PIL import ImageOps

from lipe_core.subject import Sample

_SIDES = {"left": "right", "right": "left"}


def with_mirrored(samples: Sequence[Sample]) -> list[Sample]:
    """The samples, and behind them all of them mirrored: twice as many, of the same sizes."""
    mirrored = [Sample(ImageOps.mirror(sample.image), mirrored_caption(sample.caption)) for sample in samples]
    return [*samples, *mirrored]


def mirrored_caption(caption: str) -> str:
    """What the caption says of the picture in a mirror: left is right and right is left."""
    return re.sub(r"\b(left|right)\b", _turned, caption, flags=re.IGNORECASE)


def _turned(side: re.Match[str]) -> str:
    turned = _SIDES[side[0].lower()]
    return turned.capitalize() if side[0][0].isupper() else turned
