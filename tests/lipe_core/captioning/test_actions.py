"""A caption with another action keeps its scene."""

import pytest

from lipe_core.captioning.actions import replace_action
from lipe_core.subject import Subject

DOG = Subject("sks", "dog")


@pytest.mark.parametrize(
    ("caption", "action", "prompt"),
    [
        ("a photo of a sks dog sitting in a meadow, seen from the side", "jumping",
         "a photo of a sks dog jumping in a meadow, seen from the side"),
        ("a photo of sks dog sitting in a meadow, looking left", "lying in the snow",
         "a photo of sks dog lying in the snow, looking left"),
        ("a sks dog is standing on green grass with its mouth open, trees behind it", "jumping over a fence",
         "a sks dog jumping over a fence on green grass with its mouth open, trees behind it"),
        ("a photo of sks dog looking at the camera, standing in the snow", "jumping",
         "a photo of sks dog looking at the camera, jumping in the snow"),
        ("a photo of sks dog looking at the camera, standing in the snow", "looking left",
         "a photo of sks dog looking left, standing in the snow"),
        ("a photo of sks dog smiling and sitting in the snow", "jumping",
         "a photo of sks dog smiling and jumping in the snow"),
        ("a photo of sks dog, with its arms down, in a room", "with its arms up",
         "a photo of sks dog, with its arms up, in a room"),
        ("a photo of a sks dog asleep at night.", "the sks dog is jumping.", "a photo of a sks dog jumping at night"),
        ("a photo of sks dog", "asleep", "a photo of sks dog asleep"),
        ("a photo of sks dog in a room", "asleep", "a photo of sks dog asleep in a room"),
        ("a brown animal in a room", "asleep", "a photo of sks dog asleep, a brown animal in a room"),
    ],
)  # fmt: skip
def test_the_action_is_replaced_and_the_scene_stays(caption: str, action: str, prompt: str) -> None:
    assert replace_action(caption, action, DOG) == prompt


def test_a_target_prompt_with_the_same_action_is_the_caption() -> None:
    caption = "a photo of sks dog lying down in a living room, seen from behind"
    assert replace_action(caption, "lying down", DOG) == caption
