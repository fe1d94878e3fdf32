"""Score an edited image against its true result: the edit itself, the subject's identity, and the background."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from lipe_core.metrics.background import psnr
from lipe_core.metrics.overlap import iou
from menagerie.attributes import IDENTITY_ATTRIBUTES, Drawing
from menagerie.draw import mask, render
from menagerie.probe import Probe
from menagerie.subjects import DrawnEdit

#: Scores ignore an attribute if the probe's accuracy on held-out drawings is lower.
MIN_PROBE_ACCURACY = 0.95


@dataclass(frozen=True)
class Score:
    """The score of one edit. PSNR in dB. `identity` is the share of the identity attributes that were kept.

    `success` is None if the probe is not accurate enough on any of the changed attributes.
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
    """Score one edit of `test`. `uncomposited` is the edited image before compositing with the source."""
    predicted = {name: int(value[0]) for name, value in probe.judge([image]).items()}
    true = edit.truth.labels()
    judged = {name for name, accuracy in probe.held_out.items() if accuracy >= MIN_PROBE_ACCURACY and true[name] >= 0}
    identity = [predicted[name] == true[name] for name in IDENTITY_ATTRIBUTES if name in judged]
    changed = [predicted[name] == true[name] for name in edit.changed if name in judged]
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
