import pytest
from PIL import Image

from lipe_core.captions import LONGEST_CAPTION, InvalidCaptions, class_prompts, identity_set, name_subject
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
    samples = identity_set([PICTURE] * 3, DOG, ["a dog sits", None, " "], lambda image, subject: "a dog by a model")
    assert [s.caption for s in samples] == ["a sks dog sits", "a sks dog by a model", "a sks dog by a model"]


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
