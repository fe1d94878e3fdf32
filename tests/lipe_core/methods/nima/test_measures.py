"""NIMA's measures of its edits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lipe_core.methods.nima import edit as nima
from lipe_core.sdxl import BaseModel
from tests.support.nima_requests import CONFIG, box, find_in_turn, half_mask, request


@pytest.mark.parametrize("side", [24, 60])
def test_the_share_of_the_mask_is_that_of_its_white_pixels(
    model: BaseModel, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_in_turn(monkeypatch, *[box(slice(0, side), slice(0, side))] * 2)
    monkeypatch.setattr("lipe_core.methods.nima.edit_mask.changed_region", lambda x_0, _, size: torch.ones(1, 1, *size))
    (edit,) = nima.edit(model, request(), replace(CONFIG, feather=0.0, reconstruction_steps=0))
    share = edit.measures["mask_share"]
    assert share == pytest.approx(np.mean(np.asarray(edit.edit_mask) > 0), abs=0.01)
    assert (side / 64) ** 2 <= share <= ((side + 2) / 64) ** 2


def test_a_region_that_the_user_chose_is_not_measured(model: BaseModel) -> None:
    (with_mask,) = nima.edit(model, request(mask=half_mask()), CONFIG)
    (whole,) = nima.edit(model, request(), replace(CONFIG, mask_mode="none"))
    assert "mask_share" not in {**with_mask.measures, **whole.measures}
