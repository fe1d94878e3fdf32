"""The drawn world: a seed gives one image, and an edit changes the subject alone."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from menagerie.attributes import ATTRIBUTES, Drawing, poses, sample_drawing, with_action
from menagerie.draw import mask, render


def drawings(count: int, seed: int = 0) -> list[Drawing]:
    rng = np.random.default_rng(seed)
    return [sample_drawing(rng) for _ in range(count)]


def grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask grown by two pixels: outlines are antialiased."""
    return np.asarray(Image.fromarray(mask).convert("L").filter(ImageFilter.MaxFilter(5))) > 0


def test_a_drawing_is_a_function_of_its_seed() -> None:
    for first, second in zip(drawings(20), drawings(20), strict=True):
        assert first == second
        assert (render(first) == render(second)).all()


def test_the_subject_fills_a_part_of_the_frame() -> None:
    shares = [mask(drawing).mean() for drawing in drawings(200)]
    assert min(shares) > 0.05
    assert max(shares) < 0.75


@pytest.mark.parametrize("attribute", ["pose", "head", "expression"])
def test_an_action_changes_nothing_outside_the_subject_and_its_shadow(attribute: str) -> None:
    for drawing in drawings(60, seed=3):
        values = poses(drawing.identity.class_noun) if attribute == "pose" else ATTRIBUTES[attribute]
        for value in values:
            other = with_action(drawing, **{attribute: value})
            changed = (render(drawing) != render(other)).any(axis=2)
            covered = grown(mask(drawing) | mask(other))
            covered[100:] = True  # the shadow
            assert not (changed & ~covered).any()


def test_every_value_of_every_attribute_is_drawn_and_labelled() -> None:
    labels = [drawing.labels() for drawing in drawings(2000)]
    for name, values in ATTRIBUTES.items():
        assert {row[name] for row in labels} - {-1} == set(range(len(values)))
