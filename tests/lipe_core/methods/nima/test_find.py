"""The subject in a source image, without an edit."""

import numpy as np
import pytest
from PIL import Image

from lipe_core.methods.nima.find import find_subject
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Subject
from tests.support.nima_requests import PHOTO, box, find_in_turn

DOG = Subject("sks", "dog")
PROMPT = "a photo of sks dog"


def test_a_small_subject_is_found_again_in_a_crop(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    corner, centre = box(slice(0, 6), slice(58, 64)), box(slice(20, 40), slice(20, 40))
    calls = find_in_turn(monkeypatch, corner, centre)
    large = Image.linear_gradient("L").convert("RGB")
    mask = np.asarray(find_subject(model, large, DOG, PROMPT))
    assert len(calls) == 2
    expected = np.zeros((large.height, large.width), np.uint8)
    expected[20:40, large.width - 64 + 20 : large.width - 64 + 40] = 255
    assert np.array_equal(mask, expected)


def test_an_image_of_the_models_own_size_is_searched_once(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = find_in_turn(monkeypatch, box(slice(10, 30), slice(0, 20)))
    mask = find_subject(model, PHOTO, DOG, PROMPT)
    assert (mask.mode, mask.size, calls) == ("L", PHOTO.size, [[PROMPT]])
    assert mask.getbbox() == (0, 10, 20, 30)
    assert set(np.unique(np.asarray(mask))) == {0, 255}
