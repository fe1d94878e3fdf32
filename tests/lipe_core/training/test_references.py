import numpy as np
import pytest
import torch
from PIL import Image

from lipe_core.errors import InvalidSubject
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample, Subject
from lipe_core.training.config import PriorConfig
from lipe_core.training.references import encode_references, mirrored_caption, with_mirrored


def test_every_image_is_added_mirrored() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    other = Image.new("RGB", (4, 4))
    samples = [Sample(Image.fromarray(pixels), "a sks dog looking left"), Sample(other, "a sks dog")]
    samples_and_mirrored = with_mirrored(samples)
    assert samples_and_mirrored[:2] == samples
    assert (np.asarray(samples_and_mirrored[2].image) == pixels[:, ::-1]).all()
    assert [sample.caption for sample in samples_and_mirrored[2:]] == ["a sks dog looking right", "a sks dog"]


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("facing left, a tree on the right", "facing right, a tree on the left"),
        ("Left of the door", "Right of the door"),
        ("bright and upright", "bright and upright"),
        ("what is leftover", "what is leftover"),
    ],
)
def test_captions_are_mirrored_with_their_images(caption: str, mirrored: str) -> None:
    assert mirrored_caption(caption) == mirrored
    assert mirrored_caption(mirrored) == caption


def test_training_uses_mirrored_references_if_the_config_says_so(model: BaseModel) -> None:
    samples = [Sample(Image.linear_gradient("L").rotate(90), "a sks dog looking left")]
    sides = encode_references(model, samples, Subject("sks", "dog"), PriorConfig(mirror=True, subject_emphasis=2.0))
    (one,) = encode_references(model, samples, Subject("sks", "dog"), PriorConfig(mirror=False))
    (both,) = sides
    assert (one.captions, one.emphasis) == (("a sks dog looking left",), None)
    assert both.captions == ("a sks dog looking left", "a sks dog looking right")
    assert both.loss_weights.max() == 2.0
    assert torch.allclose(both.latents[:1], one.latents, atol=1e-4)
    assert not torch.allclose(both.latents[1:], one.latents, atol=1e-2)


@pytest.mark.parametrize(
    ("subject", "caption", "why"),
    [
        (Subject("ωψω", "dog"), "a ωψω dog", "does not know 'ωψω': choose another word"),
        (Subject("sks", "ñandú"), "a sks ñandú", "does not know 'ñandú': choose another word"),
        (Subject("sks", "dog"), "a photo of a house, " * 30 + "and a sks dog", "'sks' is not among the first"),
    ],
)
def test_a_name_that_no_edit_could_use_is_refused_before_the_training(
    model: BaseModel, subject: Subject, caption: str, why: str
) -> None:
    with pytest.raises(InvalidSubject, match=why):
        encode_references(model, [Sample(Image.new("RGB", (32, 32)), caption)], subject, PriorConfig())
