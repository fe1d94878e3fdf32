"""The edit mask: what moved, to the pixel and over the latents."""

import numpy as np
import pytest
import torch

from lipe_core.masks import mask_ops
from lipe_core.masks.mask_images import soft_mask_image
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.edit_mask import EditMask, changed_region, source_mask, trimmed, union_mask
from lipe_core.shapes import Latents, PixelMask
from tests.support.nima_requests import box, source_of

EXACT = NimaConfig(margin=0.0)
OLD, NEW = box(slice(20, 40), slice(8, 28)), box(slice(20, 40), slice(36, 56))


def changed(x_0: Latents, region: PixelMask) -> Latents:
    """The latents with unrelated ones in a region of pixels, each latent being 2 x 2 pixels."""
    other = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(1)) + 4
    return torch.where(mask_ops.resize(region, (x_0.shape[2], x_0.shape[3])) > 0, other, x_0)


def everywhere() -> PixelMask:
    return box(slice(None), slice(None))


def test_a_subject_that_moved_is_masked_where_it_was_and_where_it_is() -> None:
    source = source_of(OLD)
    mask = union_mask(source, NEW, changed(source.trajectory.x_0, everywhere()), EXACT)
    assert torch.equal(mask.pixels, mask_ops.union(OLD, NEW))
    assert torch.equal(mask.latents, mask_ops.resize(mask.pixels, (32, 32)))
    assert mask.figure is not None
    assert torch.equal(mask.figure, NEW)


def test_parts_that_did_not_change_keep_the_source() -> None:
    source, mouth = source_of(OLD), box(slice(30, 36), slice(12, 20))
    mask = union_mask(source, OLD, changed(source.trajectory.x_0, mouth), EXACT)
    assert (mask.pixels * (1 - mask_ops.dilate(mouth, 2 / 64))).sum() == 0
    assert mask.pixels[..., 31:35, 13:19].all()


def test_a_background_that_changed_is_not_part_of_the_mask() -> None:
    source = source_of(OLD)
    mask = union_mask(source, NEW, changed(source.trajectory.x_0, everywhere() - mask_ops.union(OLD, NEW)), EXACT)
    assert mask.pixels[..., 22:38, 10:26].sum() == 0
    assert (mask.pixels * (1 - mask_ops.union(OLD, NEW))).sum() == 0


def test_an_edit_that_changed_nothing_has_an_empty_mask_in_spite_of_the_margin() -> None:
    source = source_of(OLD)
    mask = union_mask(source, NEW, source.trajectory.x_0.clone(), NimaConfig(margin=0.1))
    assert mask.pixels.sum() == mask.latents.sum() == 0


def test_the_margin_grows_what_changed() -> None:
    source = source_of(OLD)
    mask = union_mask(source, OLD, changed(source.trajectory.x_0, everywhere()), NimaConfig(margin=4 / 64))
    assert torch.equal(mask.pixels, mask_ops.dilate(OLD, 4 / 64))


def test_each_row_has_its_own_mask() -> None:
    source = source_of(OLD.expand(2, -1, -1, -1))
    x_0 = source.trajectory.x_0
    second = torch.cat([x_0[:1], changed(x_0[1:], everywhere())])
    mask = union_mask(source, torch.cat([OLD, NEW]), second, EXACT)
    assert mask.pixels[0].sum() == 0
    assert torch.equal(mask.pixels[1:], mask_ops.union(OLD, NEW))


def test_unrelated_latents_are_changed_and_similar_ones_are_not() -> None:
    first, second = torch.randn(2, 1, 4, 64, 64, generator=torch.Generator().manual_seed(0)).unbind()
    assert changed_region(first, second, (64, 64)).mean() > 0.85
    assert changed_region(first, first + 0.2 * second, (64, 64)).mean() < 0.01
    assert changed_region(first, second, (256, 128)).shape == (1, 1, 256, 128)


def test_without_a_figure_the_mask_is_the_source_or_everything() -> None:
    source = source_of(OLD)
    grown, whole = (source_mask(source, NimaConfig(margin=2 / 64, mask_mode=mode)) for mode in ("source", "none"))
    assert torch.equal(grown.pixels, mask_ops.dilate(OLD, 2 / 64))
    assert whole.pixels.min() == whole.latents.min() == 1
    assert grown.figure is whole.figure is None


@pytest.mark.parametrize("figure", [NEW, box(slice(1, 3), slice(60, 62))], ids=["near", "small and far"])
def test_background_around_the_figure_leaves_the_mask_and_the_figure_stays(figure: PixelMask) -> None:
    pixels = mask_ops.dilate(mask_ops.union(OLD, figure), 6 / 64)
    mask = EditMask(torch.ones(1, 1, 32, 32), pixels, figure)
    generated = (2 * figure - 1).expand(-1, 3, -1, -1)
    kept = trimmed(mask, source_of(OLD), generated)
    assert torch.equal(kept.latents, mask.latents)
    assert kept.pixels[mask_ops.union(OLD, figure) > 0].all()
    assert kept.pixels[mask_ops.dilate(mask_ops.union(OLD, figure), 3 / 64) == 0].sum() == 0
    assert kept.pixels.sum() < pixels.sum()


def test_a_gap_that_the_figures_enclose_stays_in_the_mask() -> None:
    ring = box(slice(10, 50), slice(10, 50)) - box(slice(24, 36), slice(24, 36))
    mask = EditMask(torch.ones(1, 1, 32, 32), everywhere(), box(slice(0, 2), slice(0, 2)))
    kept = trimmed(mask, source_of(ring), torch.zeros(1, 3, 64, 64))
    assert kept.pixels[..., 10:50, 10:50].all()
    unknown = EditMask(torch.ones(1, 1, 32, 32), everywhere())
    assert trimmed(unknown, source_of(ring), torch.zeros(1, 3, 64, 64)) is unknown


def figures() -> dict[str, np.ndarray]:
    """Silhouettes that cover 28 % of 512 x 512 pixels, from the most compact to one that is all outline."""
    rows, columns = np.mgrid[:512, :512]
    disc = (rows - 256) ** 2 + (columns - 256) ** 2 <= 0.28 * 512**2 / np.pi
    limbs = np.zeros((512, 512), bool)
    limbs[40:480, 195:315] = True
    for top in (60, 200, 340):
        limbs[top : top + 32, 90:420] = True
    stripes = (columns % 51 < 14) & (rows >= 0)
    return {"disc": disc, "limbs": limbs, "stripes": stripes}


@pytest.mark.parametrize("shape", ["disc", "limbs", "stripes"])
def test_margin_and_feather_never_make_a_mask_of_55_percent_from_a_silhouette_of_28(shape: str) -> None:
    silhouette = torch.from_numpy(figures()[shape]).float()[None, None]
    assert silhouette.mean() == pytest.approx(0.28, abs=0.01)
    config = NimaConfig()
    mask = source_mask(source_of(silhouette, latent_side=64), config)
    shown = np.asarray(soft_mask_image(mask.pixels, (512, 512), config.feather))
    assert 0.29 < (shown > 0).mean() < 0.55
    assert (shown[silhouette[0, 0].numpy() > 0] == 255).all()
    compact = mask_ops.dilate(silhouette, config.margin)
    assert torch.equal(mask.pixels, compact) == (shape == "disc")
