"""Phrases of captions, and their scores by the miniature's CLIP on drawings with known truth."""

import pytest
from PIL import Image

from lipe_core.captioning.phrase_check import Phrase, check_caption, phrases_of
from lipe_core.metrics.features import Clip, load_clip
from lipe_core.subject import Subject
from menagerie.draw import render
from menagerie.subjects import fresh
from menagerie.vision_models import CLIP

DOG = Subject("sks", "dog")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip(CLIP)


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("a photo of a sks dog sitting in a meadow, seen from the side", ["sitting in a meadow", "seen from the side"]),
        ("A sks dog is standing on grass and looking left.", ["standing on grass", "looking left"]),
        ("a photo of sks dog", []),
        ("sks dog, asleep, asleep", ["asleep"]),
    ],
)
def test_a_caption_is_divided_into_what_it_says_of_the_image(caption: str, phrases: list[str]) -> None:
    assert phrases_of(caption, DOG) == phrases


def test_a_false_phrase_is_doubtful_and_a_true_one_is_not(clip: Clip) -> None:
    poses = {"sitting": "jumping", "jumping": "sitting", "standing": "lying down", "lying": "jumping"}
    drawings = [drawn.test for drawn in fresh(24, 3) if drawn.test.action.pose in poses]
    assert len(drawings) > 5
    found: list[tuple[Phrase, Phrase]] = []
    for drawing in drawings:
        noun, pose = drawing.identity.class_noun, drawing.action.pose
        caption = f"a photo of a sks {noun} {pose}, {poses[pose]}"
        true, false = check_caption(clip, Image.fromarray(render(drawing)), caption, Subject("sks", noun))
        assert true.score > false.score
        found.append((true, false))
    assert sum(true.is_doubtful for true, _ in found) == 0
    assert sum(false.is_doubtful for _, false in found) > 0.8 * len(found)


def test_a_caption_that_only_names_the_subject_has_no_phrases(clip: Clip) -> None:
    assert check_caption(clip, Image.new("RGB", (64, 64)), "a photo of sks dog", DOG) == []
