"""`parse_caption` finds the values that a caption names, for all phrases and orders."""

import numpy as np
import pytest

from menagerie.attributes import sample_drawing
from menagerie.captions import caption, class_prompt, parse_caption


def test_a_full_caption_names_the_drawn_values() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        drawing = sample_drawing(rng)
        truth = {**vars(drawing.action), "background": drawing.scene.background}
        for words in (class_prompt(drawing), caption(drawing, rng, keep=1.0)):
            assert parse_caption(words) == {name: {value} for name, value in truth.items()}, words


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("a photo of sks dog", {}),
        ("a photo of sks car, eyes closed", {"expression": {"asleep"}}),
        ("a photo of sks car that is closed, eyes closed", {"pose": {"closed"}, "expression": {"asleep"}}),
        ("a dog looking left, looking right", {"head": {"left", "right"}}),
        ("a dog lying on the ground in a dry desert", {"pose": {"lying"}, "background": {"desert"}}),
        ("a dog outstanding", {}),
    ],
)
def test_only_named_values_are_parsed(words: str, named: dict[str, set[str]]) -> None:
    assert parse_caption(words) == named
