import numpy as np
from PIL import Image

from lipe_core import sdxl
from lipe_core.methods import sdedit
from lipe_core.methods.sdedit import SdeditConfig
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest, difference


def test_more_strength_leaves_less_of_the_image(deep_model: BaseModel, ask: MakeRequest) -> None:
    (kept,) = sdxl.decode(deep_model, sdxl.encode_image(deep_model, [ask().image]))
    gaps = []
    for strength in (0.02, 0.4, 1.0):
        (edit,) = sdedit.edit(deep_model, ask(), SdeditConfig(steps=25, strength=strength, guidance_scale=1.0))
        gaps.append(difference(edit.image, kept))
        assert edit.evaluations == max(1, round(25 * strength))
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[0] < 0.5 * gaps[2]


def test_the_requests_mask_is_the_edits(deep_model: BaseModel, ask: MakeRequest, left_half: Image.Image) -> None:
    (edit,) = sdedit.edit(deep_model, ask(mask=left_half), SdeditConfig(steps=4))
    changed = np.asarray(edit.edit_mask)
    assert changed[:, :16].min() == 255
    assert changed[:, 20:].max() == 0
