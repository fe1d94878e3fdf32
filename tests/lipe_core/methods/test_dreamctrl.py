import pytest

from lipe_core.adapters.prior import Prior
from lipe_core.errors import InvalidRequest
from lipe_core.methods import dreamctrl, masactrl
from lipe_core.methods.dreamctrl import DreamCtrlConfig
from lipe_core.methods.masactrl import MasaCtrlConfig
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest, difference


def test_it_is_masactrl_with_the_prior(deep_model: BaseModel, ask: MakeRequest, prior: Prior) -> None:
    (ours,) = dreamctrl.edit(deep_model, ask(), DreamCtrlConfig(steps=3, start_step=1), prior=prior)
    (theirs,) = masactrl.edit(deep_model, ask(), MasaCtrlConfig(steps=3, start_step=1), prior=prior)
    assert difference(ours.image, theirs.image) == 0


def test_without_a_prior_it_is_refused(deep_model: BaseModel, ask: MakeRequest) -> None:
    with pytest.raises(InvalidRequest, match="prior"):
        dreamctrl.edit(deep_model, ask(), DreamCtrlConfig(steps=3, start_step=1))
