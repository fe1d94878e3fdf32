"""Subjects are found where they were drawn, by the base model, each row on its own."""

import numpy as np
import torch

from lipe_core import sdxl
from lipe_core.adapters.lora import use_adapter
from lipe_core.masks import mask_ops
from lipe_core.masks.localization import SubjectFinder, class_map
from lipe_core.metrics.overlap import iou
from lipe_core.subject import Subject
from menagerie.captions import edit_prompt
from menagerie.draw import mask
from menagerie.experiment import image_of, subject_of
from menagerie.models import CHECKPOINT
from menagerie.subjects import TOKEN, fresh
from tests.support.editing import make_prior


def test_subjects_are_found_where_they_were_drawn() -> None:
    model, overlaps = sdxl.load(CHECKPOINT), []
    for drawn in fresh(6, seed=5):
        x_0 = sdxl.encode_image(model, [image_of(drawn.test)])
        maps = class_map(model, x_0, [edit_prompt(drawn.test, TOKEN)], subject_of(drawn))
        assert maps.shape == (1, 1, *x_0.shape[2:])
        found = mask_ops.subject_mask(mask_ops.resize(maps, (128, 128)), threshold=0.5, dilation=0.0)[0, 0] > 0
        overlaps.append(iou(found.numpy(), mask(drawn.test, 128)))
    assert np.mean(overlaps) > 0.7


def test_each_row_is_found_as_if_alone(model: sdxl.BaseModel) -> None:
    subject = subject_of(next(iter(fresh(1, seed=0))))
    x_0 = torch.randn(2, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    captions = [f"a {subject.class_noun} sitting", f"a {subject.class_noun}"]
    batch = class_map(model, x_0, captions, subject)
    for k in range(2):
        alone = class_map(model, x_0[k : k + 1], captions[k : k + 1], subject)
        torch.testing.assert_close(batch[k : k + 1], alone, atol=1e-4, rtol=1e-3)


def test_the_place_in_a_batch_does_not_change_a_map() -> None:
    model, (drawn,) = sdxl.load(CHECKPOINT), fresh(1, seed=5)  # an untrained network's maps hardly depend on the noise
    x_0 = sdxl.encode_image(model, [image_of(drawn.test)]).expand(2, -1, -1, -1)
    first, second = class_map(model, x_0, [edit_prompt(drawn.test, TOKEN)] * 2, subject_of(drawn))
    torch.testing.assert_close(second, first, atol=1e-4, rtol=1e-3)


def test_silhouettes_are_zeros_and_ones_whose_evaluations_are_counted(model: sdxl.BaseModel) -> None:
    finder, rows = SubjectFinder(model, Subject("sks", "cat")), list[int]()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x_0 = sdxl.encode_pixels(model, images).detach()
    hook = model.unet.register_forward_pre_hook(lambda unet, inputs: rows.append(len(inputs[0])))
    try:
        found = finder.silhouette(images, x_0, ["a cat", "a sks cat jumping"])
    finally:
        hook.remove()
    assert found.shape == (2, 1, 64, 64)
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    assert sum(rows) == 2 * finder.evaluations


def test_the_finder_uses_the_base_model_while_a_prior_is_in_use(model: sdxl.BaseModel) -> None:
    x_0 = torch.randn(1, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(1))
    subject, captions = Subject("sks", "dog"), ["a sks dog sitting"]
    expected = SubjectFinder(model, subject).base_map(x_0, captions)
    with use_adapter(model, make_prior(model)) as base_weights:
        assert torch.equal(SubjectFinder(model, subject, base_weights).base_map(x_0, captions), expected)
        assert not torch.allclose(SubjectFinder(model, subject).base_map(x_0, captions), expected, atol=1e-3)
