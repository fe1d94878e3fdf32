"""What a caption says can be read back, whatever its words and their order."""

import numpy as np
import pytest

from menagerie.attributes import sample_drawing
from menagerie.captions import caption, class_prompt, told


def test_a_whole_caption_names_what_was_drawn() -> None:
    rng = np.random.default_rng(7)
    for _ in range(300):
        drawing = sample_drawing(rng)
        truth = {**vars(drawing.action), "background": drawing.scene.background}
        for words in (class_prompt(drawing), caption(drawing, rng, keep=1.0)):
            assert told(words) == {name: {value} for name, value in truth.items()}, words


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
def test_only_what_is_said_is_named(words: str, named: dict[str, set[str]]) -> None:
    assert told(words) == named
