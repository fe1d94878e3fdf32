from collections.abc import Sequence

import pytest
from PIL import Image

from lipe_core.captioning.captions import LONGEST_CAPTION, class_prompts, identity_set, name_subject
from lipe_core.errors import InvalidCaptions
from lipe_core.subject import Subject

DOG = Subject("sks", "dog")
PICTURE = Image.new("RGB", (8, 8))


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
    pictures = [Image.new("RGB", (side, side)) for side in (8, 9, 10)]
    asked: list[list[int]] = []

    def captioner(images: Sequence[Image.Image], subject: Subject) -> list[str]:
        asked.append([image.width for image in images])
        return [f"a dog, {image.width} wide" for image in images]

    samples = identity_set(pictures, DOG, ["a dog sits", None, " "], captioner)
    assert [s.caption for s in samples] == ["a sks dog sits", "a sks dog, 9 wide", "a sks dog, 10 wide"]
    assert [s.image for s in samples] == pictures
    assert asked == [[9, 10]]
    identity_set(pictures, DOG, ["a dog sits"] * 3, captioner)
    assert len(asked) == 1


def test_without_captions_and_model_the_subject_alone_is_named() -> None:
    assert [s.caption for s in identity_set([PICTURE] * 2, DOG)] == ["a photo of sks dog"] * 2


def test_captions_must_match_the_references() -> None:
    with pytest.raises(InvalidCaptions, match="2 references"):
        identity_set([PICTURE] * 2, DOG, ["one"])
    with pytest.raises(InvalidCaptions, match="at least one"):
        identity_set([], DOG)


@pytest.mark.parametrize("category", ["animal", "object", "person"])
def test_class_prompts_are_diverse_and_decided_by_the_seed(category: str) -> None:
    prompts = class_prompts("fox", 40, seed=3, category=category)  # type: ignore[arg-type]
    assert len(set(prompts)) == 40
    assert all("fox" in prompt for prompt in prompts)
    assert prompts == class_prompts("fox", 40, seed=3, category=category)  # type: ignore[arg-type]
    assert prompts != class_prompts("fox", 40, seed=4, category=category)  # type: ignore[arg-type]


def test_phrases_that_the_model_cannot_know_are_left_out_while_others_remain() -> None:
    known = {"jumping", "looking left", "smiling", "at night"}
    assert (
        class_prompts("fox", 3, seed=0, is_known=known.__contains__)
        == ["a photo of a fox jumping, looking left, smiling, at night"] * 3
    )
    assert len(set(class_prompts("fox", 40, seed=0, is_known=lambda phrase: False))) == 40
