"""The watermark of a published result names its edit."""

import numpy as np
from PIL import Image

from ledger.edits import mark_number
from ledger.models import new_id
from lipe_core.methods.request import Edit
from provenance.watermark import detect
from worker.published import published, result_marks


def test_the_watermark_of_a_published_result_names_its_edit() -> None:
    edit_id, size = new_id("edt"), (320, 256)
    noise = np.random.default_rng(1).normal(128, 20, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    image, mask = Image.fromarray(noise), Image.new("L", size, 255)
    edit = Edit("a dog", 0, lambda: image, lambda: mask, lambda: mask, image, {}, 1, {})
    marks = result_marks("published", False, "a key", edit_id)
    assert marks is not None
    for role in ("image", "uncomposited"):
        assert detect(published(edit, role, image, mask, marks), b"a key").message == mark_number(edit_id)
    assert published(edit, "edit_mask", mask, mask, marks) is mask
