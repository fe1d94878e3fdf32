"""Captions and prompts, their vocabulary, and the values that `parse_caption` finds in them."""

import numpy as np
import pytest

from menagerie.attributes import ATTRIBUTES, Drawing, sample_drawing
from menagerie.captions import (
    TOKENS,
    caption,
    class_prompt,
    edit_prompt,
    full_caption,
    parse_caption,
    vocabulary,
)
from menagerie.subjects import TOKEN


def drawings(count: int, seed: int = 0) -> list[Drawing]:
    rng = np.random.default_rng(seed)
    return [sample_drawing(rng) for _ in range(count)]


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


def test_captions_use_the_vocabulary_only() -> None:
    known = set(vocabulary())
    rng = np.random.default_rng(1)
    for drawing in drawings(300):
        for text in (caption(drawing, rng), full_caption(drawing), edit_prompt(drawing, TOKEN), class_prompt(drawing)):
            assert set(text.replace(",", " ").split()) <= known


def test_edit_prompts_name_no_identifying_attribute() -> None:
    identifying = {
        *ATTRIBUTES["color"],
        *ATTRIBUTES["pattern"],
        *ATTRIBUTES["accessory"],
        *ATTRIBUTES["hair"],
        "wearing",
    }
    for drawing in drawings(200):
        words = set(edit_prompt(drawing, TOKEN).replace(",", " ").split())
        assert not words & (identifying - {"none"})
        assert {TOKEN, drawing.identity.class_noun} <= words
        assert TOKEN not in class_prompt(drawing).split()


def test_some_captions_have_a_token() -> None:
    rng = np.random.default_rng(2)
    with_token = [d for d in drawings(600) if any(token in caption(d, rng).split() for token in TOKENS)]
    assert 40 < len(with_token) < 200
