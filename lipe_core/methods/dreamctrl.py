"""DreamCtrl: a DreamBooth-personalised model, edited with MasaCtrl; LIPE's own baseline (section 4,
https://arxiv.org/abs/2406.17236). What NIMA is to the prior, MasaCtrl is here."""

from dataclasses import dataclass

from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, no_progress
from lipe_core.errors import InvalidRequest
from lipe_core.methods import masactrl
from lipe_core.methods.masactrl import MasaCtrlConfig
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.sdxl import BaseModel


@dataclass(frozen=True)
class DreamCtrlConfig(MasaCtrlConfig):
    """Settings of DreamCtrl, which is MasaCtrl with the subject's prior."""


def edit(
    model: BaseModel,
    request: EditRequest,
    config: DreamCtrlConfig = DreamCtrlConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """MasaCtrl's edits under the prior, which is not optional: without it this would be MasaCtrl by another name."""
    if prior is None:
        raise InvalidRequest("dreamctrl edits with a learnt prior: give one, or use masactrl")
    return masactrl.edit(model, request, config, prior=prior, on_step=on_step)
