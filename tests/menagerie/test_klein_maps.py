"""The maps of a klein's blocks are those that the product records, and are judged against the true silhouette."""

import numpy as np
import pytest
import torch

from lipe_core import flux2
from lipe_core.masks.recording import attention_maps, encode_prompts
from lipe_core.subject import Subject
from menagerie import klein_maps
from menagerie.models import CHECKPOINT
from tests.support.tiny_klein import write_klein

SIZE = (64, 64)
TRUE = np.array([True, True, False, False])


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> flux2.BaseModel:
    """The tiny klein: 2 double and 3 single blocks."""
    folder = tmp_path_factory.mktemp("klein")
    write_klein(folder)
    return flux2.load(folder, device="cpu")


def test_each_block_has_two_maps_and_those_of_attention_are_the_products(klein: flux2.BaseModel) -> None:
    subject, t = Subject("sks", "dog"), klein.schedule.levels // 2
    prompts = encode_prompts(klein, ["a photo of a dog"], subject, SIZE, names_token=False, negative_prompt=None)
    x_t = torch.randn(1, *klein.latent_shape(SIZE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = klein_maps.block_maps(klein, prompts, x_t, t)
    assert list(found) == [f"{kind} {block}" for block in range(5) for kind in ("attention", "output")]
    assert all(((values >= 0) & (values <= 1)).all() for values in found.values())
    recorded = attention_maps(klein, prompts, x_t, torch.tensor([t]), refine=0)
    torch.testing.assert_close(found["attention 1"], recorded.flatten())


def test_a_folder_that_has_no_klein_is_refused() -> None:
    with pytest.raises(SystemExit, match="is no klein: name the folder of one"):
        klein_maps.main(["--checkpoint", str(CHECKPOINT)])


@pytest.mark.parametrize(
    ("scores", "precision", "iou"),
    [([0.9, 0.8, 0.1, 0.0], 1.0, 1.0), ([0.9, 0.1, 0.8, 0.0], 5 / 6, 1 / 3), ([0.0, 0.1, 0.8, 0.9], 5 / 12, 0.0)],
)
def test_scores_against_the_true_tokens(scores: list[float], precision: float, iou: float) -> None:
    values = np.array(scores)
    assert klein_maps.average_precision(values, TRUE) == pytest.approx(precision)
    assert klein_maps.otsu_iou(values, TRUE) == pytest.approx(iou)
