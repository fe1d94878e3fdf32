"""What the drawn truth says of an edited picture: did it happen, is it still the subject, is the rest untouched?"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from lipe_core.metrics.background import psnr
from lipe_core.metrics.overlap import iou
from menagerie.attributes import IDENTITY_ATTRIBUTES, Drawing
from menagerie.draw import mask, render
from menagerie.probe import Probe
from menagerie.subjects import DrawnEdit

#: An attribute that the probe judges worse than this on held-out drawings takes no part in a score.
JUDGED_FROM = 0.95


@dataclass(frozen=True)
class Score:
    """One edit judged. PSNR in dB; ``identity`` is a share of the subject's attributes, ``mask_iou`` of pixels.

    ``success`` is None where the probe cannot tell: no changed attribute is one that it judges well enough.
    """

    edit: str
    success: bool | None
    identity: float
    background_psnr: float
    background_psnr_composite: float
    mask_iou: float
    target_psnr: float


def score(
    probe: Probe,
    test: Drawing,
    edit: DrawnEdit,
    *,
    image: Image.Image,
    uncomposited: Image.Image,
    source_mask: Image.Image,
) -> Score:
    """Judge one edit of ``test``; ``uncomposited`` is the picture before the source's pixels came back."""
    seen = {name: int(value[0]) for name, value in probe.judge([image]).items()}
    meant = edit.truth.labels()
    judged = {name for name, accuracy in probe.held_out.items() if accuracy >= JUDGED_FROM and meant[name] >= 0}
    identity = [seen[name] == meant[name] for name in IDENTITY_ATTRIBUTES if name in judged]
    changed = [seen[name] == meant[name] for name in edit.changed if name in judged]
    source = render(test, image.width)
    background = ~(mask(test, image.width) | mask(edit.truth, image.width))
    return Score(
        edit=edit.name,
        success=all(changed) if changed else None,
        identity=float(np.mean(identity)),
        background_psnr=psnr(np.asarray(uncomposited), source, background),
        background_psnr_composite=psnr(np.asarray(image), source, background),
        mask_iou=iou(np.asarray(source_mask) > 127, mask(test, image.width)),
        target_psnr=psnr(np.asarray(image), render(edit.truth, image.width)),
    )
