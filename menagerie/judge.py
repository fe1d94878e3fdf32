"""Score an edited image against its true result: the edit, the subject's identity, damage and the background."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from lipe_core.methods.request import Edit
from lipe_core.metrics.background import psnr
from lipe_core.metrics.overlap import iou
from menagerie.attributes import ATTRIBUTES, IDENTITY_ATTRIBUTES, Drawing
from menagerie.draw import mask, render
from menagerie.placed import ghost_share, placed_psnr
from menagerie.probe import Probe, load_probe
from menagerie.subjects import DrawnEdit
from menagerie.wholeness import Wholeness, load_wholeness

#: Scores ignore an attribute if the probe's accuracy on held-out drawings is lower.
MIN_PROBE_ACCURACY = 0.95
#: An edit is whole if its probability of damage is at most this. Tuned on labelled edits (`menagerie.calibration`).
MAX_DAMAGE = 0.2
#: A clean edit has at most this share of ghosts.
MAX_GHOST_SHARE = 0.02


@dataclass(frozen=True)
class Judge:
    """The networks that score an edit: the probe of attributes, and the network that finds damage."""

    probe: Probe
    wholeness: Wholeness

    @property
    def held_out(self) -> dict[str, float]:
        """The accuracy of both on held-out drawings: per attribute, and of damage."""
        return {**self.probe.held_out, "wholeness": self.wholeness.held_out["all"]}


@dataclass(frozen=True)
class Score:
    """The score of one edit. PSNR in dB. `identity` is the share of the identity attributes that were kept.

    `clean` says that a person would keep the edit: it is `whole`, without a ghost, a success, and every judged identity
    attribute is kept. `success` is None if the probe is not accurate enough on any of the changed attributes.
    `accessory_kept` is None if the subject has no accessory. `damage` is the probability that the edit is damaged.
    """

    edit: str
    clean: bool
    success: bool | None
    identity: float
    whole: bool
    damage: float
    ghost_share: float
    accessory_kept: bool | None
    placed_psnr: float
    background_psnr: float
    background_psnr_composite: float
    mask_iou: float
    target_psnr: float


def load_judge() -> Judge:
    """The committed networks."""
    return Judge(load_probe(), load_wholeness())


def score(
    judge: Judge,
    test: Drawing,
    edit: DrawnEdit,
    *,
    image: Image.Image,
    uncomposited: Image.Image,
    source_mask: Image.Image,
) -> Score:
    """Score one edit of `test`. `uncomposited` is the edited image before compositing with the source."""
    predicted = {name: int(value[0]) for name, value in judge.probe.judge([image]).items()}
    true = edit.truth.labels()
    judged = {
        name for name, accuracy in judge.probe.held_out.items() if accuracy >= MIN_PROBE_ACCURACY and true[name] >= 0
    }
    right = {name: predicted[name] == true[name] for name in judged}
    changed = [right[name] for name in edit.changed if name in judged]
    success = all(changed) if changed else None
    identity = float(np.mean([right[name] for name in IDENTITY_ATTRIBUTES if name in judged]))
    has_accessory = ATTRIBUTES["accessory"][true["accessory"]] != "none"

    pixels = np.asarray(image.convert("RGB"))
    source, truth = render(test, image.width), render(edit.truth, image.width)
    old, new = mask(test, image.width), mask(edit.truth, image.width)
    damage = judge.wholeness.damage(image, render(edit.truth), mask(test) | mask(edit.truth))
    ghosts = ghost_share(pixels, source, truth, old, new)
    return Score(
        edit=edit.name,
        clean=damage <= MAX_DAMAGE and ghosts <= MAX_GHOST_SHARE and success is not False and identity == 1,
        success=success,
        identity=identity,
        whole=damage <= MAX_DAMAGE,
        damage=damage,
        ghost_share=ghosts,
        accessory_kept=right.get("accessory") if has_accessory else None,
        placed_psnr=placed_psnr(pixels, truth, old | new),
        background_psnr=psnr(np.asarray(uncomposited), source, ~(old | new)),
        background_psnr_composite=psnr(pixels, source, ~(old | new)),
        mask_iou=iou(np.asarray(source_mask) > 127, old),
        target_psnr=psnr(pixels, truth),
    )


def outside_mask(source: npt.NDArray[np.uint8], edit: Edit) -> tuple[float, bool]:
    """The PSNR in dB outside the edit mask before compositing, and whether the result has the source's bytes there.

    `source` is (height, width, 3). Without a pixel outside the mask they are nan and True.
    """
    outside = np.asarray(edit.edit_mask) == 0
    if not outside.any():
        return math.nan, True
    exact = bool((np.asarray(edit.image)[outside] == source[outside]).all())
    return psnr(np.asarray(edit.uncomposited), source, outside), exact
