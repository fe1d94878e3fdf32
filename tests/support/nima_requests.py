"""Requests and settings for the tests of NIMA on a random network."""

import numpy as np
from PIL import Image

from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import EditRequest
from lipe_core.subject import Subject
from tests.support.editing import SOURCE, TARGET

SUBJECT = Subject("sks", "dog")
CONFIG = NimaConfig(steps=4, map_window=(0.0, 1.0))
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


def request(
    *targets: str, image: Image.Image = PHOTO, seeds: tuple[int, ...] = (0,), mask: Image.Image | None = None
) -> EditRequest:
    """A request with these target prompts."""
    return EditRequest(image, SOURCE, targets or (TARGET,), SUBJECT, seeds, mask)


def half_mask() -> Image.Image:
    """The left half may change."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    return mask
