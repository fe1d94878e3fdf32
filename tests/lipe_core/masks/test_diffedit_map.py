"""Another noun in the class's place changes the answer where the subject is."""

import numpy as np
import pytest
import torch

from lipe_core import sdxl
from lipe_core.errors import InvalidRequest
from lipe_core.masks import mask_ops
from lipe_core.masks.diffedit_map import diffedit_map, other_nouns
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.metrics.overlap import iou
from lipe_core.subject import Subject
from menagerie.captions import edit_prompt
from menagerie.draw import mask
from menagerie.experiment import image_of, subject_of
from menagerie.models import CHECKPOINT
from menagerie.subjects import TOKEN, fresh

NOUNS = ("backpack", "dog")


def test_people_are_found_with_their_hair_and_hats() -> None:
    model, overlaps = sdxl.load(CHECKPOINT), []
    for drawn in [subject for subject in fresh(12, seed=4) if subject.identity.kind == "face"]:
        x_0 = sdxl.encode_image(model, [image_of(drawn.test)])
        seen = diffedit_map(model, x_0, [edit_prompt(drawn.test, TOKEN)], subject_of(drawn), NOUNS)
        assert seen.shape == (1, 1, *x_0.shape[2:])
        found = mask_ops.subject_mask(mask_ops.resize(seen, (128, 128)), threshold=0.5, dilation=0.0)[0, 0] > 0
        overlaps.append(iou(found.numpy(), mask(drawn.test, 128)))
    assert len(overlaps) == 3
    assert np.mean(overlaps) > 0.7


def test_each_row_is_found_as_if_alone(model: sdxl.BaseModel) -> None:
    x_0 = torch.randn(2, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    captions, subject = ["a photo of sks cat sitting", "A Cat"], Subject("sks", "cat")
    both = diffedit_map(model, x_0, captions, subject, NOUNS)
    torch.testing.assert_close(
        both[:1], diffedit_map(model, x_0[:1], captions[:1], subject, NOUNS), atol=1e-4, rtol=1e-3
    )


def test_whose_cat_it_is_and_its_article_make_no_difference(model: sdxl.BaseModel) -> None:
    x_0 = torch.randn(1, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    captions = ("a photo of sks cat sitting", "a photo of a sks cat sitting", "a photo of a cat sitting")
    first, *others = (diffedit_map(model, x_0, [caption], Subject("sks", "cat"), NOUNS) for caption in captions)
    assert all(torch.equal(first, other) for other in others)


def test_a_subject_is_not_contrasted_with_itself() -> None:
    assert other_nouns(Subject("sks", "tea pot"), ("Pot", "dog")) == ("dog",)
    with pytest.raises(InvalidRequest, match="other than a dog"):
        other_nouns(Subject("sks", "dog"), ("dog", "Dog"))
    with pytest.raises(InvalidRequest, match="contrast_nouns"):
        NimaConfig(subject_map="contrast", contrast_nouns=())
