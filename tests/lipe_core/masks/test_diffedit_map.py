"""Replacing the class noun changes the prediction where the subject is."""

import numpy as np
import pytest
import torch

from lipe_core import sdxl
from lipe_core.masks import mask_ops
from lipe_core.masks.diffedit_map import diffedit_evaluations, diffedit_map, other_nouns
from lipe_core.metrics.overlap import iou
from lipe_core.subject import Subject
from menagerie.captions import edit_prompt
from menagerie.draw import mask
from menagerie.experiment import image_of, subject_of
from menagerie.models import CHECKPOINT
from menagerie.subjects import TOKEN, fresh


def test_people_are_found_with_their_hair_and_hats() -> None:
    model, overlaps = sdxl.load(CHECKPOINT), []
    for drawn in [subject for subject in fresh(12, seed=4) if subject.identity.kind == "face"]:
        x_0 = sdxl.encode_image(model, [image_of(drawn.test)])
        maps = diffedit_map(model, x_0, [edit_prompt(drawn.test, TOKEN)], subject_of(drawn))
        assert maps.shape == (1, 1, *x_0.shape[2:])
        found = mask_ops.subject_mask(mask_ops.resize(maps, (128, 128)), threshold=0.5, dilation=0.0)[0, 0] > 0
        overlaps.append(iou(found.numpy(), mask(drawn.test, 128)))
    assert len(overlaps) == 3
    assert np.mean(overlaps) > 0.7


def test_each_row_is_found_as_if_alone(model: sdxl.BaseModel) -> None:
    x_0 = torch.randn(2, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    captions, subject = ["a photo of sks cat sitting", "A Cat"], Subject("sks", "cat")
    batch = diffedit_map(model, x_0, captions, subject)
    torch.testing.assert_close(batch[:1], diffedit_map(model, x_0[:1], captions[:1], subject), atol=1e-4, rtol=1e-3)


def test_the_token_and_the_article_make_no_difference(model: sdxl.BaseModel) -> None:
    x_0 = torch.randn(1, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    captions = ("a photo of sks cat sitting", "a photo of a sks cat sitting", "a photo of a cat sitting")
    first, *others = (diffedit_map(model, x_0, [caption], Subject("sks", "cat")) for caption in captions)
    assert all(torch.equal(first, other) for other in others)


def test_a_subject_is_not_compared_with_itself() -> None:
    assert other_nouns(Subject("sks", "cat")) == ["backpack", "dog"]
    assert other_nouns(Subject("sks", "Guide Dog")) == ["backpack"]
    assert other_nouns(Subject("sks", "hotdog")) == ["backpack", "dog"]


@pytest.mark.parametrize("class_noun", ["cat", "dog"])
def test_the_evaluations_are_those_of_the_network(model: sdxl.BaseModel, class_noun: str) -> None:
    rows: list[int] = []
    subject, x_0 = Subject("sks", class_noun), torch.zeros(2, *model.latent_shape((64, 64)))
    hook = model.unet.register_forward_pre_hook(lambda unet, inputs: rows.append(len(inputs[0])))
    try:
        diffedit_map(model, x_0, [f"a {class_noun}", f"a sks {class_noun}"], subject)
    finally:
        hook.remove()
    assert sum(rows) == 2 * diffedit_evaluations(subject)
