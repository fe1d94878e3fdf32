import numpy as np
from PIL import Image

from lipe_core import sdxl
from lipe_core.methods import ledits
from lipe_core.methods.ledits import LeditsConfig, concept
from lipe_core.sdxl import BaseModel
from tests.support.editing import MakeRequest, difference

CONFIG = LeditsConfig(steps=3, source_guidance_scale=3.5, zero_noise_steps=1, threshold=0.5)


def test_without_guidance_the_inversion_reconstructs_the_image(deep_model: BaseModel, ask: MakeRequest) -> None:
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
