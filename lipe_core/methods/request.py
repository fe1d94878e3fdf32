"""Requests and results, the same for every editing method."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from lipe_core.errors import InvalidRequest
from lipe_core.subject import Subject


@dataclass(frozen=True)
class EditRequest:
    """An image and the prompts that say what to change in it.

    Every target prompt is generated once for each seed. All prompts name the subject as `subject.phrase`.
    `mask` is greyscale, of the image's size, and white where the image may change; a grey counts as white or black,
    whichever is nearer. Without a mask, the method finds the subject. `references` are images of the subject, of any
    size, for methods that need them at the time of the edit; a prior has learned from them before.
    """

    image: Image.Image
    source_prompt: str
    target_prompts: tuple[str, ...]
    subject: Subject
    seeds: tuple[int, ...] = (0,)
    mask: Image.Image | None = None
    references: tuple[Image.Image, ...] = ()

    def __post_init__(self) -> None:
        if not self.target_prompts or not self.seeds:
            raise InvalidRequest("give at least one target prompt and at least one seed")
        _require_subject("source", self.source_prompt, self.subject)
        for prompt in self.target_prompts:
            _require_subject("target", prompt, self.subject)
        if self.mask is not None and self.mask.size != self.image.size:
            raise InvalidRequest(
                f"the mask must have the image's size: it is {self.mask.width} x {self.mask.height}, "
                f"the image {self.image.width} x {self.image.height}"
            )


@dataclass(frozen=True)
class Edit:
    """One edited image with its masks, costs and parameters.

    `uncomposited` is the decoder's image, before the source's own pixels return. If the method composites, `image` has
    the source's bytes where `edit_mask` is black. Timings are seconds per stage, shared by all edits of a request.
    Evaluations are network forward passes of one row, with the shared inversion counted in full. `parameters` suffice
    to repeat the edit.
    """

    image: Image.Image
    target_prompt: str
    seed: int
    source_mask: Image.Image
    edit_mask: Image.Image
    uncomposited: Image.Image
    timings: dict[str, float]
    evaluations: int
    parameters: dict[str, Any]


OnPreview = Callable[[list[Image.Image]], None]
"""Called with the images of an edit's first pass, one for each prompt and seed. It may raise to stop the work."""


def no_preview(images: list[Image.Image]) -> None:
    """Ignore previews."""


def _require_subject(which: str, prompt: str, subject: Subject) -> None:
    if not prompt.strip():
        raise InvalidRequest(f"the {which} prompt is empty: describe the image, naming {subject.phrase!r}")
    if not re.search(rf"(?<!\w){re.escape(subject.phrase)}(?!\w)", prompt, re.IGNORECASE):
        raise InvalidRequest(f"the {which} prompt {prompt!r} does not name the subject: write {subject.phrase!r} in it")
