"""The source's mask: found by attention, or given by the user."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import SubjectMap
from lipe_core.sdxl import BaseModel
from tests.support.editing import make_prior
from tests.support.nima_requests import CONFIG, SUBJECT, half_mask, request


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_the_users_mask_is_shown_as_it_was_given(model: BaseModel, mode: str) -> None:
    (edit,) = nima.edit(model, request(mask=half_mask().convert(mode)), CONFIG)
    assert edit.source_mask.mode == "L"
    assert edit.source_mask.tobytes() == half_mask().tobytes()


def test_noise_in_a_lossy_mask_counts_as_black(model: BaseModel) -> None:
    noise = np.random.default_rng(0).integers(-9, 10, (64, 64))
    noisy = Image.fromarray(np.clip(np.asarray(half_mask(), int) + noise, 0, 255).astype(np.uint8))
    clean, lossy = (nima.edit(model, request(mask=mask), CONFIG)[0] for mask in (half_mask(), noisy))
    assert np.array_equal(np.asarray(clean.image), np.asarray(lossy.image))
    assert np.array_equal(np.asarray(lossy.source_mask), np.asarray(noisy))


def test_the_class_map_is_the_base_models_with_any_prior(model: BaseModel) -> None:
    config = replace(CONFIG, subject_map="class", threshold=0.5)
    (plain,), (tuned,) = (nima.edit(model, request(), config, prior=prior) for prior in (None, make_prior(model)))
    assert np.array_equal(np.asarray(plain.source_mask), np.asarray(tuned.source_mask))
    assert np.array_equal(np.unique(np.asarray(plain.source_mask)), [0, 255])
    assert not np.array_equal(np.asarray(plain.image), np.asarray(tuned.image))
    (identity,) = nima.edit(model, request(), CONFIG)
    assert plain.evaluations == identity.evaluations + SubjectFinder(model, SUBJECT, 0.5, 0.0).base_map_evaluations
    (masked,) = nima.edit(model, request(mask=half_mask()), config)
    assert masked.evaluations == identity.evaluations


def test_a_contrast_map_adds_to_the_class_map(model: BaseModel) -> None:
    def source_mask(subject_map: SubjectMap) -> tuple[np.ndarray, int]:
        config = replace(CONFIG, subject_map=subject_map, contrast_nouns=("teapot", "dog"), threshold=0.5)
        (edit,) = nima.edit(model, request(), config, prior=make_prior(model))
        return np.asarray(edit.source_mask) > 0, edit.evaluations

    (of_class, few), (of_both, more) = source_mask("class"), source_mask("contrast")
    assert (of_both & ~of_class).any()
    assert more == few + 8  # two noise samples at two levels, for the class noun and for "teapot"
