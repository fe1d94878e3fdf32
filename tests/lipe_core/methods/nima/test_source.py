"""The source: its mask, found or given by the user, and its noisy end with new noise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core.diffusion.ddim import unit_noise
from lipe_core.masks.localization import SubjectFinder
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.source import renoised
from lipe_core.sdxl import BaseModel
from tests.support.editing import SOURCE, TARGET, make_prior
from tests.support.nima_requests import CONFIG, SUBJECT, box, find_in_turn, half_mask, request, source_of


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


def test_the_users_mask_replaces_the_finder_in_the_source(model: BaseModel, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = SubjectFinder(model, SUBJECT)
    calls = find_in_turn(monkeypatch, *[box(slice(20, 40), slice(20, 40))] * 3)
    (found,) = nima.edit(model, request(), CONFIG)
    assert calls == [[SOURCE], [TARGET]]
    (masked,) = nima.edit(model, request(mask=half_mask()), CONFIG)
    assert calls[2:] == [[TARGET]]
    assert masked.evaluations == found.evaluations - finder.evaluations


def test_the_source_mask_is_the_base_models_with_any_prior(model: BaseModel) -> None:
    (plain,), (personal,) = (nima.edit(model, request(), CONFIG, prior=prior) for prior in (None, make_prior(model)))
    assert np.array_equal(np.asarray(plain.source_mask), np.asarray(personal.source_mask))
    assert set(np.unique(np.asarray(plain.source_mask))) <= {0, 255}
    assert not np.array_equal(np.asarray(plain.image), np.asarray(personal.image))


def test_the_masks_have_the_size_of_the_image(model: BaseModel) -> None:
    small = replace(request(), image=request().image.resize((40, 30)))
    (edit,) = nima.edit(model, small, CONFIG)
    assert edit.source_mask.size == edit.edit_mask.size == (40, 30)


def test_only_the_subjects_noise_is_replaced_and_each_seed_has_its_own() -> None:
    subject = box(slice(20, 40), slice(8, 28))
    source = source_of(subject.expand(2, -1, -1, -1))
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[10:20, 4:14] = True
    x_T, fresh = source.trajectory.x_T, unit_noise([7, 8], (4, 32, 32))
    new, mixed, same = (renoised(source, [7, 8], amount) for amount in (1.0, 0.3, 0.0))
    assert torch.equal(new[..., ~inside], x_T[..., ~inside])
    assert torch.equal(mixed[..., ~inside], x_T[..., ~inside])
    assert torch.equal(new[..., inside], fresh[..., inside])
    torch.testing.assert_close(mixed[..., inside], 0.7**0.5 * x_T[..., inside] + 0.3**0.5 * fresh[..., inside])
    assert torch.equal(same, x_T)
    assert mixed[..., inside].std() == pytest.approx(1, abs=0.1)
