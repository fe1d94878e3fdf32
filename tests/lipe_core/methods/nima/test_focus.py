"""A small subject in a large image is edited in a crop around it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lipe_core.methods.crop import Box
from lipe_core.methods.nima import edit as nima
from lipe_core.sdxl import BaseModel
from tests.support.nima_requests import CONFIG, PHOTO, box, find_in_turn, request

PLACE = Box(100, 50, 64, 64)
LARGE = PLACE.paste(PHOTO, Image.linear_gradient("L").convert("RGB"))
SMALL_MASK = Image.new("L", PHOTO.size)
SMALL_MASK.paste(255, (22, 22, 42, 42))
MASK = PLACE.paste(SMALL_MASK, Image.new("L", LARGE.size))


def test_an_edit_in_a_crop_is_the_edit_of_the_crop_in_its_place(model: BaseModel) -> None:
    (whole,) = nima.edit(model, request(image=LARGE, mask=MASK), CONFIG)
    (part,) = nima.edit(model, request(image=PHOTO, mask=SMALL_MASK), CONFIG)
    assert whole.parameters["crop_box"] == PLACE._asdict()
    made, expected = whole.images(), part.images()
    assert PLACE.cut(made.image) == expected.image != PHOTO
    assert PLACE.cut(made.edit_mask) == expected.edit_mask
    assert made.source_mask == MASK
    outside = np.asarray(made.edit_mask) == 0
    assert np.array_equal(np.asarray(made.image)[outside], np.asarray(LARGE)[outside])
    assert whole.evaluations == part.evaluations


def test_the_finder_looks_for_the_subject_first(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    corner, centre = box(slice(0, 6), slice(58, 64)), box(slice(20, 40), slice(20, 40))
    calls = find_in_turn(monkeypatch, corner, centre, centre)
    (edit,) = nima.edit(model, request(image=LARGE), CONFIG)
    assert len(calls) == 3
    crop = Box(**edit.parameters["crop_box"])
    assert (crop.top, crop.left + crop.width) == (0, 256)
    assert crop.size == (64, 64)


@pytest.mark.parametrize("changes", [{"crop": False}, {"composite": False}, {"mask_mode": "none"}])
def test_the_whole_image_is_edited_where_all_of_it_may_change(model: BaseModel, changes: Any) -> None:
    (edit,) = nima.edit(model, request(image=LARGE, mask=MASK), replace(CONFIG, **changes))
    assert edit.parameters["crop_box"] == Box(0, 0, 256, 256)._asdict()


def test_a_subject_that_is_not_found_leaves_the_whole_image(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    find_in_turn(monkeypatch, *[box(slice(0, 0), slice(0, 0))] * 3)
    (edit,) = nima.edit(model, request(image=LARGE), CONFIG)
    assert edit.parameters["crop_box"] == Box(0, 0, 256, 256)._asdict()
