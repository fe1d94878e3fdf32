"""Whole edits on a random network: properties that do not depend on the weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.adapters.prior import Prior
from lipe_core.errors import InvalidRequest
from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.mask_ops import blend
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig, SubjectMap
from lipe_core.methods.nima.source import Source
from lipe_core.methods.request import EditRequest
from lipe_core.sdxl import AttentionStore, BaseModel
from lipe_core.subject import Subject
from menagerie.draw import mask
from menagerie.experiment import edit_request
from menagerie.models import CHECKPOINT
from menagerie.subjects import fresh
from tests.support.editing import make_prior

SUBJECT = Subject("sks", "dog")
SOURCE = "a photo of sks dog sitting"
TARGET = "a photo of sks dog jumping"
CONFIG = NimaConfig(steps=4, map_window=(0.0, 1.0))


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def request(photo: Image.Image, *targets: str, seeds: tuple[int, ...] = (0,), mask: Image.Image | None = None):
    return EditRequest(photo, SOURCE, targets or (TARGET,), SUBJECT, seeds, mask)


def half_mask() -> Image.Image:
    """The left half may change."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    return mask


def test_outside_the_mask_the_image_keeps_its_bytes(model: BaseModel, photo: Image.Image) -> None:
    (edit,) = nima.edit(model, request(photo, mask=half_mask()), NimaConfig(steps=4, mask_mode="source"))
    kept = np.asarray(edit.edit_mask) == 0
    assert 0.3 < kept.mean() < 0.6
    assert (np.asarray(edit.image)[kept] == np.asarray(photo)[kept]).all()
    assert (np.asarray(edit.image)[~kept] != np.asarray(photo)[~kept]).any()


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_the_users_mask_is_shown_as_it_was_given(model: BaseModel, photo: Image.Image, mode: str) -> None:
    (edit,) = nima.edit(model, request(photo, mask=half_mask().convert(mode)), CONFIG)
    assert edit.source_mask.mode == "L"
    assert edit.source_mask.tobytes() == half_mask().tobytes()


def test_latents_outside_the_mask_end_as_the_sources(model: BaseModel, photo: Image.Image) -> None:
    results: list[tuple[Source, torch.Tensor]] = []
    masks: list[torch.Tensor] = []

    def observed(session: Any, denoiser: Any, source: Source, *rest: Any) -> Any:
        x_0, changed = denoise_blended(session, denoiser, source, *rest)
        results.append((source, x_0))
        return x_0, changed

    def observed_blend(edit: Any, source: Any, mask: torch.Tensor) -> torch.Tensor:
        masks.append(mask)
        return blend(edit, source, mask)

    denoise_blended = nima.denoise_blended
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nima, "denoise_blended", observed)
        patch.setattr(nima, "blend", observed_blend)
        nima.edit(model, request(photo), NimaConfig(steps=4, threshold=0.9, dilation=0.0))
    ((source, x_0),) = results
    outside = (masks[-1] == 0).expand_as(x_0)
    assert outside.any()
    assert torch.equal(x_0[outside], source.trajectory.x_0.expand_as(x_0)[outside])


def test_prompts_share_one_inversion_and_equal_single_edits(model: BaseModel, photo: Image.Image) -> None:
    first, second = nima.edit(model, request(photo, TARGET, "sks dog in a meadow"), CONFIG)
    (alone,) = nima.edit(model, request(photo, "sks dog in a meadow"), CONFIG)
    assert (first.target_prompt, second.target_prompt) == (TARGET, "sks dog in a meadow")
    difference = np.abs(np.asarray(second.uncomposited, int) - np.asarray(alone.uncomposited, int))
    assert np.quantile(difference, 0.99) <= 1
    # 4 steps of one inversion row, and 4 of two guided rows for each prompt
    assert first.evaluations == second.evaluations == alone.evaluations == 4 + 8


def test_each_seed_gives_its_own_image(model: BaseModel, photo: Image.Image) -> None:
    config = NimaConfig(steps=4, renoise=1.0, mask_mode="none")
    seven, eight = nima.edit(model, request(photo, seeds=(7, 8)), config)
    (alone,) = nima.edit(model, request(photo, seeds=(8,)), config)
    assert np.abs(np.asarray(seven.image, int) - np.asarray(eight.image, int)).max() > 8
    assert np.abs(np.asarray(alone.image, int) - np.asarray(eight.image, int)).max() <= 2


def test_several_seeds_without_renoise_are_refused(model: BaseModel, photo: Image.Image) -> None:
    with pytest.raises(InvalidRequest, match="renoise"):
        nima.edit(model, request(photo, seeds=(1, 2)), CONFIG)


def test_guidance_from_the_base_model_differs_only_with_a_prior(model: BaseModel, photo: Image.Image) -> None:
    def generated(config: NimaConfig, prior: Prior | None) -> np.ndarray:
        (edit,) = nima.edit(model, request(photo), config, prior=prior)
        assert edit.evaluations == 4 + 8
        return np.asarray(edit.uncomposited, int)

    from_base, prior = replace(CONFIG, guide_from="base"), make_prior(model)
    assert np.abs(generated(CONFIG, None) - generated(from_base, None)).max() <= 1
    assert np.abs(generated(CONFIG, prior) - generated(from_base, prior)).max() > 8


def test_guidance_from_the_source_prompt_strengthens_only_what_differs(model: BaseModel, photo: Image.Image) -> None:
    def generated(target: str, **changes: Any) -> np.ndarray:
        config = replace(CONFIG, mask_mode="none", guide_from="source", **changes)
        (edit,) = nima.edit(model, request(photo, target), config)
        return np.asarray(edit.uncomposited, int)

    assert np.abs(generated(SOURCE, guidance_scale=9.0) - generated(SOURCE, guidance_scale=1.0)).max() <= 1
    assert np.abs(generated(TARGET, guidance_scale=9.0) - generated(TARGET, guidance_scale=1.0)).max() > 8


def test_until_the_blend_starts_the_subject_is_free(model: BaseModel, photo: Image.Image) -> None:
    masks: list[torch.Tensor] = []

    def observed(edit: Any, source: Any, mask: torch.Tensor) -> torch.Tensor:
        masks.append(mask)
        return blend(edit, source, mask)

    config = replace(CONFIG, looks=(0.5,), blend_start=0.5, threshold=0.9, dilation=0.0, coverage=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nima, "blend", observed)
        nima.edit(model, request(photo), config)
    assert len(masks) == 3
    assert 0 < masks[0].mean() < 1
    assert torch.equal(masks[0], masks[2])


def test_noise_in_a_lossy_mask_counts_as_black(model: BaseModel, photo: Image.Image) -> None:
    noise = np.random.default_rng(0).integers(-9, 10, (64, 64))
    noisy = Image.fromarray(np.clip(np.asarray(half_mask(), int) + noise, 0, 255).astype(np.uint8))
    clean, lossy = (nima.edit(model, request(photo, mask=mask), CONFIG)[0] for mask in (half_mask(), noisy))
    assert np.array_equal(np.asarray(clean.image), np.asarray(lossy.image))
    assert np.array_equal(np.asarray(lossy.source_mask), np.asarray(noisy))


def test_reconstruction_brings_the_background_nearer_to_the_source() -> None:
    model, (drawn,) = sdxl.load(CHECKPOINT), fresh(1, seed=3)  # it needs a trained autoencoder
    silhouette = mask(drawn.test, 128)
    masked = replace(edit_request(drawn), mask=Image.fromarray(silhouette))

    def error(reconstruction_steps: int) -> float:
        (edit, *_) = nima.edit(
            model, masked, replace(CONFIG, mask_mode="source", reconstruction_steps=reconstruction_steps)
        )
        difference = np.asarray(edit.uncomposited, float) - np.asarray(masked.image, float)
        return float((difference[~silhouette] ** 2).mean())

    assert error(3) < 0.5 * error(0)


def test_differences_within_the_tolerance_return_to_the_source(model: BaseModel, photo: Image.Image) -> None:
    def edited(tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        config = replace(CONFIG, mask_mode="source", feather=0.0, tolerance=tolerance)
        (edit,) = nima.edit(model, request(photo, mask=half_mask()), config)
        return np.asarray(edit.image), np.asarray(edit.edit_mask)

    (every, all_of_it), (some, less), (none, nothing) = (edited(tolerance) for tolerance in (0.0, 0.65, 1.99))
    assert all_of_it.mean() > less.mean() > nothing.mean() == 0
    assert np.array_equal(some[less == 0], np.asarray(photo)[less == 0])
    assert np.abs(some[less == 255].astype(float) - every[less == 255]).mean() < 32
    assert np.array_equal(none, np.asarray(photo))


def test_the_class_map_is_the_base_models_with_any_prior(model: BaseModel, photo: Image.Image) -> None:
    config = replace(CONFIG, subject_map="class", threshold=0.5)
    (plain,), (tuned,) = (nima.edit(model, request(photo), config, prior=prior) for prior in (None, make_prior(model)))
    assert np.array_equal(np.asarray(plain.source_mask), np.asarray(tuned.source_mask))
    assert np.array_equal(np.unique(np.asarray(plain.source_mask)), [0, 255])
    assert not np.array_equal(np.asarray(plain.image), np.asarray(tuned.image))
    (identity,) = nima.edit(model, request(photo), CONFIG)
    assert plain.evaluations == identity.evaluations + SubjectFinder(model, SUBJECT, 0.5, 0.0).base_map_evaluations
    (masked,) = nima.edit(model, request(photo, mask=half_mask()), config)
    assert masked.evaluations == identity.evaluations


def test_a_contrast_map_adds_to_the_class_map(model: BaseModel, photo: Image.Image) -> None:
    def source_mask(subject_map: SubjectMap) -> tuple[np.ndarray, int]:
        config = replace(CONFIG, subject_map=subject_map, contrast_nouns=("teapot", "dog"), threshold=0.5)
        (edit,) = nima.edit(model, request(photo), config, prior=make_prior(model))
        return np.asarray(edit.source_mask) > 0, edit.evaluations

    (of_class, few), (of_both, more) = source_mask("class"), source_mask("contrast")
    assert (of_both & ~of_class).any()
    assert more == few + 8  # two noise samples at two levels, for the class noun and for "teapot"


def test_the_target_mask_is_found_in_the_edit_so_far(model: BaseModel, photo: Image.Image) -> None:
    decoded: list[torch.Tensor] = []
    previews: list[list[Image.Image]] = []

    def decode(model: BaseModel, latents: torch.Tensor) -> torch.Tensor:
        decoded.append(latents)
        return plain(model, latents)

    plain = sdxl.decode_pixels
    config = replace(CONFIG, looks=(0.5, 1.0), snap=0.1, dilation=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdxl, "decode_pixels", decode)
        patch.setattr("lipe_core.sdxl.images.decode_pixels", decode)
        (edit,) = nima.edit(model, request(photo), config, on_preview=previews.append)
    assert len(decoded) == 3
    assert [len(images) for images in previews] == [1, 1]
    assert np.array_equal(np.asarray(previews[1][0]), np.asarray(sdxl.decode(model, decoded[1])[0]))
    assert torch.equal(decoded[1], decoded[2]) == (np.asarray(edit.edit_mask).min() == 255)
    assert set(np.unique(np.asarray(edit.source_mask))) <= {0, 255}


@pytest.mark.parametrize(
    ("maps", "settings"),
    [
        (4 + 4, {}),
        (3 + 4, {"map_window": (0.0, 0.4)}),
        (4 + 4, {"map_window": (0.1, 0.2)}),  # no step lies in the window, so all are used
        (4, {"mask_mode": "source"}),
        (4 + 2, {"looks": (0.25, 0.5)}),
        (
            10,
            {"subject_map": "class", "looks": (0.5,), "blend_start": 0.5},
        ),  # five for the source, five for the edit
        (10 + 1, {"subject_map": "class", "looks": (0.5,), "blend_start": 0.25}),
    ],
)
def test_attention_is_recorded_only_where_it_is_used(
    model: BaseModel, photo: Image.Image, maps: int, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AttentionStore] = []

    def pop(store: AttentionStore) -> torch.Tensor:
        made.append(store)
        return popped(store)

    popped = AttentionStore.pop
    monkeypatch.setattr(AttentionStore, "pop", pop)
    nima.edit(model, request(photo), replace(CONFIG, **settings))
    assert len(made) == maps
    made.clear()
    nima.edit(model, request(photo, mask=half_mask()), CONFIG)
    assert len(made) == 4


def test_an_image_of_another_size_keeps_its_size(model: BaseModel, photo: Image.Image) -> None:
    wide = photo.resize((150, 100))
    (edit,) = nima.edit(model, request(wide), CONFIG)
    assert edit.image.size == edit.source_mask.size == edit.edit_mask.size == (150, 100)
    kept = np.asarray(edit.edit_mask) == 0
    assert (np.asarray(edit.image)[kept] == np.asarray(wide)[kept]).all()
    assert (edit.parameters["height"], edit.parameters["width"]) == sdxl.working_size(model, (100, 150))


def test_the_network_is_restored_when_a_step_raises(model: BaseModel, photo: Image.Image) -> None:
    before = dict(model.unet.attn_processors)

    def refuse(step: int, steps: int) -> None:
        if step == 6:
            raise KeyError(steps)

    with pytest.raises(KeyError, match="8"):
        nima.edit(model, request(photo), CONFIG, on_step=refuse)
    assert model.unet.attn_processors == before


def test_reconstruction_can_be_stopped(model: BaseModel, photo: Image.Image) -> None:
    calls: list[int] = []

    def stop(step: int, steps: int) -> None:
        calls.append(step)
        if len(calls) == steps + 2:
            raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        nima.edit(model, request(photo), replace(CONFIG, reconstruction_steps=5), on_step=stop)
    assert calls == [*range(1, 9), 8, 8]


def test_progress_counts_inversion_and_edit(model: BaseModel, photo: Image.Image) -> None:
    calls: list[tuple[int, int]] = []
    nima.edit(model, request(photo), CONFIG, on_step=lambda step, steps: calls.append((step, steps)))
    assert calls == [(step, 8) for step in range(1, 9)]


def test_without_a_mask_the_whole_image_is_generated(model: BaseModel, photo: Image.Image) -> None:
    (edit,) = nima.edit(model, request(photo), NimaConfig(steps=4, mask_mode="none"))
    assert np.asarray(edit.edit_mask).min() == 255
    assert (np.asarray(edit.image) == np.asarray(edit.uncomposited)).all()


def test_an_edit_can_be_repeated_from_its_parameters(model: BaseModel, photo: Image.Image) -> None:
    (edit,) = nima.edit(model, request(photo), CONFIG)
    names = NimaConfig.__dataclass_fields__
    again = NimaConfig(**{name: value for name, value in edit.parameters.items() if name in names})
    (repeated,) = nima.edit(model, request(photo, edit.parameters["target_prompt"]), again)
    assert (np.asarray(repeated.image) == np.asarray(edit.image)).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0},
        {"strength": 1.5},
        {"renoise": -0.1},
        {"map_window": (0.5, 0.2)},
        {"blend_stop": 2.0},
        {"looks": (0.5, 0.0)},
        {"snap": -1},
        {"snap": 0.26},
        {"coverage": -0.1},
        {"coverage": 1.0},
        {"grabcut_rounds": -1},
        {"opening": 0.11},
        {"halo": -0.1},
        {"reconstruction_steps": -1},
        {"tolerance": -0.1},
        {"tolerance": 2.0},
    ],
)
def test_contradictory_settings_are_refused(settings: dict) -> None:
    with pytest.raises(InvalidRequest):
        NimaConfig(**settings)


def test_reading_the_source_features_costs_no_evaluation(model: BaseModel, photo: Image.Image) -> None:
    (plain,), (never,), (late,), (always,) = (
        nima.edit(model, request(photo), replace(CONFIG, source_attention_start=start))
        for start in (1.0, 1.0, 0.7, 0.0)
    )
    assert plain.uncomposited.tobytes() == never.uncomposited.tobytes()
    assert len({edit.uncomposited.tobytes() for edit in (plain, late, always)}) == 3
    assert plain.evaluations == always.evaluations
    with pytest.raises(InvalidRequest, match="source_attention_start"):
        replace(CONFIG, source_attention_start=1.5)
