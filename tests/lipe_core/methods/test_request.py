from typing import Any

import pytest
from PIL import Image

from lipe_core.errors import InvalidRequest
from lipe_core.methods.request import EditRequest
from lipe_core.subject import Subject

PHOTO = Image.new("RGB", (64, 48))
SUBJECT = Subject("sks", "dog")
GOOD: dict[str, Any] = {
    "image": PHOTO,
    "source_prompt": "a sks dog",
    "target_prompts": ("a SKS dog runs",),
    "subject": SUBJECT,
}


def test_the_subject_is_found_in_any_case() -> None:
    assert EditRequest(**GOOD).seeds == (0,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_prompts": ()}, "at least one target prompt"),
        ({"seeds": ()}, "at least one seed"),
        ({"target_prompts": ("  ",)}, "target prompt is empty"),
        ({"target_prompts": ("a dog runs",)}, "write 'sks dog' in it"),
        ({"target_prompts": ("a sks dogs",)}, "write 'sks dog' in it"),
        ({"source_prompt": "a dog"}, "source prompt"),
        ({"mask": Image.new("L", (48, 64))}, "it is 48 x 64, the image 64 x 48"),
    ],
)
def test_an_invalid_request_says_what_to_change(change: dict, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        EditRequest(**{**GOOD, **change})
