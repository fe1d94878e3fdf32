"""Outlines by SAM 2: a small network of its classes, trained here on ellipses, corrects crude silhouettes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lipe_core.errors import InvalidModel
from lipe_core.masks import segmenter
from lipe_core.masks.mask_ops import dilate
from lipe_core.masks.segmenter import Segmenter
from lipe_core.shapes import PixelMask, Pixels
from tests.support.tiny_sam2 import SIDE, build_sam2

CELLS, STEPS = 16, 30


def ellipse(center: Tensor, radii: Tensor, side: int) -> PixelMask:
    """Ellipses (n, 1, side, side), from centers (x, y) and radii (n, 2) as fractions of the image."""
    places = (torch.arange(side) + 0.5) / side
    across = ((places - center[:, :1]) / radii[:, :1])[:, None, None, :]
    down = ((places - center[:, 1:]) / radii[:, 1:])[:, None, :, None]
    return (across**2 + down**2 < 1).float()


def drawn(mask: PixelMask, generator: torch.Generator) -> Pixels:
    """Light figures on dark, noisy ground."""
    return (mask * 1.2 - 0.6 + 0.1 * torch.randn(len(mask), 3, *mask.shape[2:], generator=generator)).clamp(-1, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network that has learned to find ellipses in boxes."""
    torch.manual_seed(0)
    network = build_sam2().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        center = 0.5 + 0.3 * (torch.rand(8, 2, generator=generator) - 0.5)
        radii = 0.12 + 0.18 * torch.rand(8, 2, generator=generator)
        answer = network(
            pixel_values=segmenter._network_pixels(drawn(ellipse(center, radii, SIDE), generator), SIDE),
            input_boxes=SIDE * torch.cat([center - radii, center + radii], dim=1)[:, None],
            input_points=SIDE * center[:, None, None],
            input_labels=torch.ones(8, 1, 1, dtype=torch.int),
        )
        truth = ellipse(center, radii, CELLS).expand(-1, 3, -1, -1)
        loss = F.binary_cross_entropy_with_logits(answer.pred_masks[:, 0], truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("segmenter") / "sam2-tiny"
    network.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def sam2(folder: Path) -> Segmenter:
    return segmenter.load(folder)


@pytest.fixture
def scene() -> Callable[[float], tuple[Pixels, PixelMask]]:
    """`scene(0.5)`: an image (1, 3, 96, 128) of an ellipse with this x of its center, and its silhouette."""

    def make(x: float) -> tuple[Pixels, PixelMask]:
        mask = F.interpolate(ellipse(torch.tensor([[x, 0.5]]), torch.tensor([[0.15, 0.25]]), 128), (96, 128))
        return drawn(mask, torch.Generator().manual_seed(1)), mask

    return make


def overlap(one: PixelMask, other: PixelMask) -> float:
    return float((one * other).sum() / torch.maximum(one, other).sum())


def test_the_network_corrects_crude_outlines_row_by_row(
    sam2: Segmenter, scene: Callable[[float], tuple[Pixels, PixelMask]]
) -> None:
    images, truths = (torch.cat(parts) for parts in zip(scene(0.4), scene(0.6), strict=True))
    crude = dilate(truths, 0.06)
    refined = sam2.refine(crude, images)
    assert set(refined.unique().tolist()) == {0.0, 1.0}
    for k in range(2):
        assert overlap(refined[k], truths[k]) > overlap(crude[k], truths[k]) + 0.05
        assert torch.equal(sam2.refine(crude[k : k + 1], images[k : k + 1])[0], refined[k])


def test_a_mask_of_another_object_changes_nothing(
    sam2: Segmenter, scene: Callable[[float], tuple[Pixels, PixelMask]]
) -> None:
    image, truth = scene(0.5)
    frame = torch.zeros_like(truth)  # its box has the figure, of which it covers little
    frame[..., 5:90, 20:24] = 1
    frame[..., 5:90, 100:104] = 1
    for found in (frame, torch.zeros_like(truth)):
        assert torch.equal(sam2.refine(found, image), found)


def test_prompts_are_in_the_networks_pixels(scene: Callable[[float], tuple[Pixels, PixelMask]]) -> None:
    _, truth = scene(0.4)
    left, top, right, bottom = segmenter._box(truth).tolist()
    assert (left, right) == pytest.approx((0.25 * 128, 0.55 * 128), abs=2)
    assert (top, bottom) == pytest.approx((0.25 * 96, 0.75 * 96), abs=2)
    assert segmenter._deepest_point(truth).tolist() == pytest.approx([0.4 * 128, 48], abs=4)


def test_other_models_and_pickles_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="not a SAM 2 model"):
        segmenter.load("menagerie/judges/clip")
    with pytest.raises(InvalidModel, match="does not exist"):
        segmenter.load("/no/such/folder")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(InvalidModel, match="may run code when it is read"):
        segmenter.load(tmp_path)
