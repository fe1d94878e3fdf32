import numpy as np
import pytest
from PIL import Image

from lipe_core.mirror import mirrored_caption, with_mirrored
from lipe_core.subject import Sample


def test_every_picture_comes_again_as_in_a_mirror() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    other = Image.new("RGB", (4, 4))
    samples = [Sample(Image.fromarray(picture), "a sks dog looking left"), Sample(other, "a sks dog")]
    shown = with_mirrored(samples)
    assert shown[:2] == samples
    assert (np.asarray(shown[2].image) == picture[:, ::-1]).all()
    assert [sample.caption for sample in shown[2:]] == ["a sks dog looking right", "a sks dog"]


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("facing left, a tree on the right", "facing right, a tree on the left"),
        ("Left of the door", "Right of the door"),
        ("bright and upright", "bright and upright"),
        ("what is leftover", "what is leftover"),
    ],
)
def test_captions_turn_with_their_pictures(caption: str, mirrored: str) -> None:
    assert mirrored_caption(caption) == mirrored
    assert mirrored_caption(mirrored) == caption
