"""Whole edits on a random network: properties that do not depend on the weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lipe_core import sdxl
from lipe_core.adapters.prior import Prior
from lipe_core.errors import InvalidRequest
from lipe_core.masks.mask_ops import blend
from lipe_core.methods.nima import edit as nima
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.source import Source
from lipe_core.sdxl import BaseModel
from tests.support.editing import SOURCE, TARGET, make_prior
from tests.support.nima_requests import CONFIG, PHOTO, half_mask, request


def test_outside_the_mask_the_image_keeps_its_bytes(model: BaseModel) -> None:
    (edit,) = nima.edit(model, request(mask=half_mask()), NimaConfig(steps=4, mask_mode="source"))
    kept = np.asarray(edit.edit_mask) == 0
    assert 0.3 < kept.mean() < 0.6
    assert (np.asarray(edit.image)[kept] == np.asarray(PHOTO)[kept]).all()
    assert (np.asarray(edit.image)[~kept] != np.asarray(PHOTO)[~kept]).any()


def test_latents_outside_the_mask_end_as_the_sources(model: BaseModel) -> None:
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
        nima.edit(model, request(), NimaConfig(steps=4, threshold=0.9, dilation=0.0))
    ((source, x_0),) = results
    outside = (masks[-1] == 0).expand_as(x_0)
    assert outside.any()
    assert torch.equal(x_0[outside], source.trajectory.x_0.expand_as(x_0)[outside])


def test_prompts_share_one_inversion_and_equal_single_edits(model: BaseModel) -> None:
    first, second = nima.edit(model, request(TARGET, "sks dog in a meadow"), CONFIG)
    (alone,) = nima.edit(model, request("sks dog in a meadow"), CONFIG)
    assert (first.target_prompt, second.target_prompt) == (TARGET, "sks dog in a meadow")
    difference = np.abs(np.asarray(second.uncomposited, int) - np.asarray(alone.uncomposited, int))
    assert np.quantile(difference, 0.99) <= 1
    # 4 steps of one inversion row, and 4 of two guided rows for each prompt
    assert first.evaluations == second.evaluations == alone.evaluations == 4 + 8


def test_each_seed_gives_its_own_image(model: BaseModel) -> None:
    config = NimaConfig(steps=4, renoise=1.0, mask_mode="none")
    seven, eight = nima.edit(model, request(seeds=(7, 8)), config)
    (alone,) = nima.edit(model, request(seeds=(8,)), config)
    assert np.abs(np.asarray(seven.image, int) - np.asarray(eight.image, int)).max() > 8
    assert np.abs(np.asarray(alone.image, int) - np.asarray(eight.image, int)).max() <= 2


def test_several_seeds_without_renoise_are_refused(model: BaseModel) -> None:
    with pytest.raises(InvalidRequest, match="renoise"):
        nima.edit(model, request(seeds=(1, 2)), CONFIG)


def test_guidance_from_the_base_model_differs_only_with_a_prior(model: BaseModel) -> None:
    def generated(config: NimaConfig, prior: Prior | None) -> np.ndarray:
        (edit,) = nima.edit(model, request(), config, prior=prior)
        assert edit.evaluations == 4 + 8
        return np.asarray(edit.uncomposited, int)

    from_base, prior = replace(CONFIG, guide_from="base"), make_prior(model)
    assert np.abs(generated(CONFIG, None) - generated(from_base, None)).max() <= 1
    assert np.abs(generated(CONFIG, prior) - generated(from_base, prior)).max() > 8


def test_guidance_from_the_source_prompt_strengthens_only_what_differs(model: BaseModel) -> None:
    def generated(target: str, **changes: Any) -> np.ndarray:
        config = replace(CONFIG, mask_mode="none", guide_from="source", **changes)
        (edit,) = nima.edit(model, request(target), config)
        return np.asarray(edit.uncomposited, int)

    assert np.abs(generated(SOURCE, guidance_scale=9.0) - generated(SOURCE, guidance_scale=1.0)).max() <= 1
    assert np.abs(generated(TARGET, guidance_scale=9.0) - generated(TARGET, guidance_scale=1.0)).max() > 8


def test_an_image_of_another_size_keeps_its_size(model: BaseModel) -> None:
    wide = PHOTO.resize((150, 100))
    (edit,) = nima.edit(model, request(image=wide), CONFIG)
    assert edit.image.size == edit.source_mask.size == edit.edit_mask.size == (150, 100)
    kept = np.asarray(edit.edit_mask) == 0
    assert (np.asarray(edit.image)[kept] == np.asarray(wide)[kept]).all()
    assert (edit.parameters["height"], edit.parameters["width"]) == sdxl.working_size(model, (100, 150))


def test_the_network_is_restored_when_a_step_raises(model: BaseModel) -> None:
    before = dict(model.unet.attn_processors)

    def refuse(step: int, steps: int) -> None:
        if step == 6:
            raise KeyError(steps)

    with pytest.raises(KeyError, match="8"):
        nima.edit(model, request(), CONFIG, on_step=refuse)
    assert model.unet.attn_processors == before


def test_progress_counts_inversion_and_edit(model: BaseModel) -> None:
    calls: list[tuple[int, int]] = []
    nima.edit(model, request(), CONFIG, on_step=lambda step, steps: calls.append((step, steps)))
    assert calls == [(step, 8) for step in range(1, 9)]


def test_without_a_mask_the_whole_image_is_generated(model: BaseModel) -> None:
    (edit,) = nima.edit(model, request(), NimaConfig(steps=4, mask_mode="none"))
    assert np.asarray(edit.edit_mask).min() == 255
    assert (np.asarray(edit.image) == np.asarray(edit.uncomposited)).all()


def test_an_edit_can_be_repeated_from_its_parameters(model: BaseModel) -> None:
    (edit,) = nima.edit(model, request(), CONFIG)
    names = NimaConfig.__dataclass_fields__
    again = NimaConfig(**{name: value for name, value in edit.parameters.items() if name in names})
    (repeated,) = nima.edit(model, request(edit.parameters["target_prompt"]), again)
    assert (np.asarray(repeated.image) == np.asarray(edit.image)).all()


def test_reading_the_source_features_costs_no_evaluation(model: BaseModel) -> None:
    (plain,), (never,), (late,), (always,) = (
        nima.edit(model, request(), replace(CONFIG, source_attention_start=start)) for start in (1.0, 1.0, 0.7, 0.0)
    )
    assert plain.uncomposited.tobytes() == never.uncomposited.tobytes()
    assert len({edit.uncomposited.tobytes() for edit in (plain, late, always)}) == 3
    assert plain.evaluations == always.evaluations
    with pytest.raises(InvalidRequest, match="source_attention_start"):
        replace(CONFIG, source_attention_start=1.5)
