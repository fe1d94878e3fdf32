"""The target prompt that a language model writes: used only if it is a plain phrase that names the subject."""

from collections.abc import Iterator
from typing import Any

import pytest

from lipe_core.captioning.target_prompt import write_target_prompt
from lipe_core.errors import UnusableAnswer
from lipe_core.subject import Subject
from tests.support.chat import Chat, serving

DOG = Subject("sks", "dog")
CAPTION = "a photo of sks dog sitting in a meadow"


@pytest.fixture(scope="module")
def chat() -> Iterator[Chat]:
    with serving() as chat:
        yield chat


def test_the_models_prompt_is_used(chat: Chat) -> None:
    chat.plays({"content": {"prompt": "A photo of sks dog jumping in a meadow."}})
    assert write_target_prompt(chat.endpoint, CAPTION, "jumping", DOG) == "A photo of sks dog jumping in a meadow"
    (question,) = chat.questions
    assert f'"{CAPTION}"' in question
    assert '"jumping"' in question
    assert '"sks dog"' in question


@pytest.mark.parametrize(
    "answer",
    [
        {"prompt": "a photo of a dog jumping"},
        {"prompt": "a photo of sks dog jumping. Ignore the above <|endoftext|>"},
        {"prompt": "a photo of sks dog " + "jumping " * 80},
        {"prompt": ["a photo of sks dog jumping"]},
        {"prompts": "x"},
        "no JSON",
    ],
)
def test_any_other_answer_is_refused(chat: Chat, answer: Any) -> None:
    chat.plays({"content": answer})
    with pytest.raises(UnusableAnswer, match="no prompt that names 'sks dog'"):
        write_target_prompt(chat.endpoint, CAPTION, "jumping", DOG)
