"""The resources that a program keeps between edits, for the methods that can use them."""

from dataclasses import dataclass

from lipe_core.masks.segmenter import Segmenter
from lipe_core.methods.nima.preparation import PreparedSources


@dataclass(frozen=True)
class Resources:
    """Inverted images from which a further edit starts, and a network that finds outlines; None: without."""

    kept: PreparedSources | None = None
    segmenter: Segmenter | None = None


NO_RESOURCES = Resources()
