"""Where the miniature sees what was drawn."""

import numpy as np
import torch

from lipe_core import sdxl
from lipe_core.masks import mask_ops
from lipe_core.masks.localization import class_map
from lipe_core.metrics.overlap import iou
from menagerie.captions import edit_prompt
from menagerie.draw import mask
from menagerie.experiment import image_of, subject_of
from menagerie.models import CHECKPOINT
from menagerie.subjects import TOKEN, fresh


def test_subjects_are_found_where_they_were_drawn() -> None:
    model, overlaps = sdxl.load(CHECKPOINT), []
    for drawn in fresh(6, seed=5):
        x_0 = sdxl.encode_image(model, [image_of(drawn.test)])
        seen = class_map(model, x_0, [edit_prompt(drawn.test, TOKEN)], subject_of(drawn))
        assert seen.shape == (1, 1, *x_0.shape[2:])
        found = mask_ops.subject_mask(mask_ops.resize(seen, (128, 128)), threshold=0.5, dilation=0.0)[0, 0] > 0
        overlaps.append(iou(found.numpy(), mask(drawn.test, 128)))
    assert np.mean(overlaps) > 0.7


def test_each_row_is_found_as_if_alone(model: sdxl.BaseModel) -> None:
    subject = subject_of(next(iter(fresh(1, seed=0))))
    x_0 = torch.randn(2, *model.latent_shape((64, 64)), generator=torch.Generator().manual_seed(0))
    captions = [f"a {subject.class_noun} sitting", f"a {subject.class_noun}"]
    both = class_map(model, x_0, captions, subject)
    torch.testing.assert_close(both[:1], class_map(model, x_0[:1], captions[:1], subject), atol=1e-4, rtol=1e-3)
