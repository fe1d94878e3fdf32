import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.errors import InvalidRequest
from lipe_core.methods import ledits
from lipe_core.methods.ledits import LeditsConfig, concept, implementation
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest, difference

CONFIG = LeditsConfig(steps=3, source_guidance_scale=3.5, zero_noise_steps=1, threshold=0.5)


def test_without_guidance_the_inversion_gives_the_picture_back(deep_model: BaseModel, ask: MakeRequest) -> None:
    (kept,) = sdxl.decode(deep_model, sdxl.encode_image(deep_model, [ask().image]))
    still, edited = (
        ledits.edit(
            deep_model,
            ask(),
            LeditsConfig(steps=4, edit_guidance_scale=w),
        )[0]
        for w in (0.0, 20.0)
    )
    assert difference(still.image, kept) < 0.1 * difference(edited.image, kept)


def test_the_mask_shrinks_with_the_threshold(deep_model: BaseModel, ask: MakeRequest) -> None:
    shares = [
        np.asarray(ledits.edit(deep_model, ask(), LeditsConfig(steps=3, threshold=threshold))[0].edit_mask).mean()
        for threshold in (0.2, 0.9)
    ]
    assert 0 < shares[1] < shares[0]


def test_the_requests_mask_is_a_further_limit(deep_model: BaseModel, ask: MakeRequest, left_half: Image.Image) -> None:
    (edit,) = ledits.edit(deep_model, ask(mask=left_half), CONFIG)
    assert np.asarray(edit.edit_mask)[:, 20:].max() == 0
    assert np.asarray(edit.edit_mask)[:, :16].max() == 255


def test_a_concept_is_the_subject_and_the_words_that_are_new() -> None:
    assert (
        concept("a photo of sks dog, sitting", "a photo of sks dog, jumping high", "sks dog") == "sks dog jumping high"
    )
    assert concept("a dog", "A dog", "dog") == "dog"


def test_pictures_that_are_not_square_are_named_by_their_rows_and_columns(
    deep_model: BaseModel, ask: MakeRequest
) -> None:
    told: list[torch.Tensor] = []
    hook = deep_model.unet.register_forward_pre_hook(
        lambda module, args, kwargs: told.append(kwargs["added_cond_kwargs"]["time_ids"]), with_kwargs=True
    )
    try:
        (edit,) = ledits.edit(deep_model, ask(image=Image.new("RGB", (40, 24))), CONFIG)
    finally:
        hook.remove()
    assert edit.image.size == (40, 24)
    assert {tuple(row) for ids in told for row in ids.tolist()} == {(24, 40, 0, 0, 24, 40)}


def test_diffusers_is_as_before_when_a_step_raises(deep_model: BaseModel, ask: MakeRequest) -> None:
    before = implementation.F

    def stop(step: int, steps: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ledits.edit(deep_model, ask(), CONFIG, on_step=stop)
    assert implementation.F is before


def test_noise_levels_are_the_checkpoints(deep_model: BaseModel) -> None:
    levels = ledits._scheduler(deep_model).alphas_cumprod
    torch.testing.assert_close(levels[1:], deep_model.schedule.alphas_cumprod[1:], rtol=1e-4, atol=0)


def test_a_base_model_without_attention_at_a_quarter_is_refused(model: BaseModel, ask: MakeRequest) -> None:
    with pytest.raises(InvalidRequest, match="quarter"):
        ledits.edit(model, ask(), CONFIG)


def test_a_picture_that_does_not_halve_twice_is_refused(deep_model: BaseModel, ask: MakeRequest) -> None:
    picture = Image.new("RGB", (34, 32))
    assert EditSession.of(deep_model, ask(image=picture), None).size == (32, 34)
    with pytest.raises(InvalidRequest, match="multiples of 8"):
        ledits.edit(deep_model, ask(image=picture), CONFIG)
