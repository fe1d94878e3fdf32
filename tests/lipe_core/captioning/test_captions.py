from collections.abc import Sequence

import pytest
from PIL import Image

from lipe_core.captioning.captions import LONGEST_CAPTION, identity_set, name_subject
from lipe_core.errors import InvalidCaptions
from lipe_core.subject import Subject

DOG = Subject("sks", "dog")
IMAGE = Image.new("RGB", (8, 8))


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("a dog runs", "a sks dog runs"),
        ("A Dog, and another dog", "A sks dog, and another dog"),
        ("a sks dog runs", "a sks dog runs"),
        ("two dogs", "a photo of sks dog, two dogs"),
        ("running\x00 left\n", "a photo of sks dog, running left"),
    ],
)
def test_a_caption_names_the_subject_exactly_once(caption: str, named: str) -> None:
    assert name_subject(caption, DOG) == named
    assert name_subject(named, DOG) == named


def test_a_caption_is_bounded() -> None:
    assert len(name_subject("dog " * 1000, DOG)) <= LONGEST_CAPTION + len("sks ")


def test_the_users_caption_wins_over_the_captioner() -> None:
    images = [Image.new("RGB", (side, side)) for side in (8, 9, 10)]
    asked: list[list[int]] = []

    def captioner(missing: Sequence[Image.Image], subject: Subject) -> list[str]:
        asked.append([image.width for image in missing])
        return [f"a dog, {image.width} wide" for image in missing]

    samples = identity_set(images, DOG, ["a dog sits", None, " "], captioner)
    assert [s.caption for s in samples] == ["a sks dog sits", "a sks dog, 9 wide", "a sks dog, 10 wide"]
    assert [s.image for s in samples] == images
    assert asked == [[9, 10]]
    identity_set(images, DOG, ["a dog sits"] * 3, captioner)
    assert len(asked) == 1


def test_without_captions_and_captioner_a_caption_names_only_the_subject() -> None:
    assert [s.caption for s in identity_set([IMAGE] * 2, DOG)] == ["a photo of sks dog"] * 2


def test_captions_must_match_the_references() -> None:
    with pytest.raises(InvalidCaptions, match="2 references"):
        identity_set([IMAGE] * 2, DOG, ["one"])
    with pytest.raises(InvalidCaptions, match="at least one"):
        identity_set([], DOG)
