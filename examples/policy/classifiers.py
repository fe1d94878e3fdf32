"""Classifiers of images: the interface, and two simple ones. Neither is a safety classifier.

Put your own model behind `ImageClassifier`. LIPE brings none: a classifier that is right for your users and your law is
your choice, and a bad one gives a false feeling of safety.
"""

from dataclasses import dataclass
from typing import Protocol

from PIL import Image


class ImageClassifier(Protocol):
    """Decides on one image."""

    def refuse(self, image: Image.Image) -> tuple[str, str] | None:
        """A code such as `nudity`, and the reason in words for the user; None allows the image."""


class AllowAll:
    """Allows every image. With it, the policy decides on prompts only."""

    def refuse(self, image: Image.Image) -> tuple[str, str] | None:
        """None, always."""
        return None


@dataclass(frozen=True)
class RefuseSmall:
    """Refuses images with a side below `least` pixels: a rule that anyone can check, to try the hook out."""

    least: int

    def refuse(self, image: Image.Image) -> tuple[str, str] | None:
        """The code `too_small` for a small image."""
        if min(image.size) >= self.least:
            return None
        return "too_small", f"the image has {image.width} x {image.height} pixels, at least {self.least} are required"
