import pytest
import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample, Subject
from lipe_core.training import dataset
from lipe_core.training.subject_weighting import find_subject, weight_subject_loss
from menagerie.draw import mask
from menagerie.experiment import image_of, subject_of
from menagerie.models import CHECKPOINT
from menagerie.subjects import TOKEN, benchmark

DOG = Subject("sks", "dog")


def test_the_subject_counts_more_and_a_factor_of_one_changes_nothing(model: BaseModel) -> None:
    sets = dataset.encode(model, [Sample(Image.new("RGB", size), "a sks dog") for size in ((64, 64), (128, 64))])
    assert weight_subject_loss(model, sets, DOG, 1.0) == sets
    for plain, emphasized in zip(sets, weight_subject_loss(model, sets, DOG, 4.0), strict=True):
        assert emphasized.loss_weights.shape == plain.latents[:, :1].shape
        assert set(emphasized.loss_weights.unique().tolist()) == {1.0, 4.0}
        assert torch.equal(emphasized.latents, plain.latents)
        both = dataset.EncodedSet.concat([plain, emphasized])
        assert torch.equal(
            both.loss_weights, torch.cat([torch.ones_like(plain.latents[:, :1]), emphasized.loss_weights])
        )


def test_the_subject_is_found_where_it_was_drawn() -> None:
    miniature = sdxl.load(CHECKPOINT)
    drawn = benchmark()[0]
    samples = [Sample(image_of(d), f"a photo of {TOKEN} {drawn.identity.class_noun}") for d in drawn.references]
    (encoded,) = dataset.encode(miniature, samples)
    found = find_subject(miniature, encoded, subject_of(drawn))[:, 0] > 0
    for seen, drawing in zip(found, drawn.references, strict=True):
        truth = torch.from_numpy(mask(drawing, seen.shape[0]).copy())
        assert (seen & truth).sum() / (seen | truth).sum() > 0.5


@pytest.mark.parametrize("captioned", ["a photo of a cat"])
def test_a_caption_without_the_noun_is_named(model: BaseModel, captioned: str) -> None:
    sets = dataset.encode(model, [Sample(Image.new("RGB", (64, 64)), captioned)])
    with pytest.raises(ValueError, match="dog"):
        weight_subject_loss(model, sets, DOG, 2.0)
