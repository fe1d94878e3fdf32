import numpy as np
import torch
from PIL import Image

from lipe_core.masks.mask_ops import blend, composite


def test_blend_is_exact_at_both_ends_and_linear_between():
    edit, source = torch.randn(2, 2, 4, 6, 6).unbind()
    mask = torch.rand(2, 1, 6, 6).round(decimals=1)
    mask[:, :, 0], mask[:, :, 1] = 0, 1
    out = blend(edit, source, mask)
    assert torch.equal(out[:, :, 0], source[:, :, 0])
    assert torch.equal(out[:, :, 1], edit[:, :, 1])
    torch.testing.assert_close(out, source + mask * (edit - source))


def test_a_broken_edit_does_not_leak_into_the_background():
    source = torch.randn(1, 4, 4, 4)
    assert torch.equal(blend(torch.full_like(source, torch.nan), source, torch.zeros(1, 1, 4, 4)), source)


def test_composite_keeps_the_bytes_where_the_mask_is_black():
    rng = np.random.default_rng(0)
    edit, source = (Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for _ in range(2))
    levels = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    levels[:5], levels[5:10] = 0, 255
    out = np.asarray(composite(edit, source, Image.fromarray(levels)))
    assert np.array_equal(out[:5], np.asarray(source)[:5])
    assert np.array_equal(out[5:10], np.asarray(edit)[5:10])
    share = levels[..., None] / 255.0
    expected = share * np.asarray(edit) + (1 - share) * np.asarray(source)
    assert np.abs(out - expected).max() <= 1
