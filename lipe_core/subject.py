"""A subject: a class noun and a rare token that together name one member of the class.

DreamBooth, https://arxiv.org/abs/2208.12242, section 3.1.
"""

import re
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from lipe_core.errors import InvalidSubject

Category = Literal["animal", "object", "person"]
"""The kind of a subject: it decides which actions suit its class, and which settings a recipe gives its training."""


@dataclass(frozen=True)
class Subject:
    """`token` is one rare word without a meaning of its own, `class_noun` the common name, such as "dog"."""

    token: str
    class_noun: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w{2,32}", self.token):
            raise InvalidSubject(f"the token must be one word of 2 to 32 letters or digits, got {self.token!r}")
        if not re.fullmatch(r"\w[\w' -]{0,62}", self.class_noun) or self.class_noun != self.class_noun.strip():
            raise InvalidSubject(f"the class noun must be a word or two, such as 'dog', got {self.class_noun!r}")
        if self.token.lower() in self.class_noun.lower().split():
            raise InvalidSubject(f"the token {self.token!r} is the class noun: choose a rare word such as 'sks'")

    @property
    def phrase(self) -> str:
        """The name of the subject in captions and prompts: "sks dog"."""
        return f"{self.token} {self.class_noun}"


@dataclass(frozen=True)
class Sample:
    """An image and its caption."""

    image: Image.Image
    caption: str
