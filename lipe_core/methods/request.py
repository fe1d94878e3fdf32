"""The one interface of all editing methods, NIMA and the baselines alike: `Editor`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from lipe_core.errors import InvalidRequest
from lipe_core.subject import Subject


@dataclass(frozen=True)
class EditRequest:
    """What to change in which picture.

    Every target prompt is painted once for each seed. All prompts name the subject as `subject.phrase`.
    `mask` is greyscale, of the picture's size, white where the picture may change (greys count as white or black,
    whatever is nearer); without one it is found.
    `references` are the subject's pictures, of any size, for the methods that look at them when they edit: a prior
    has learnt from them already.
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
                f"the mask must have the picture's size: it is {self.mask.width} x {self.mask.height}, "
                f"the picture {self.image.width} x {self.image.height}"
            )


@dataclass(frozen=True)
class Edit:
    """One edited picture and how it came about.

    `uncomposited` is what the decoder painted, before the source's own pixels came back. Where `edit_mask` is
    black, `image` has the source's very bytes. Timings are seconds a stage, shared by all edits of a request;
    evaluations are network forward passes of one row, the shared inversion counted in full. `parameters` are
    all that it takes to repeat the edit.
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
"""Edits that are not done yet, one for each prompt and seed; it may raise to stop the work."""


def no_preview(pictures: list[Image.Image]) -> None:
    """Nobody is watching."""


Editor = Callable[[EditRequest], list[Edit]]
"""A method with its model and settings bound: one edit for each target prompt and seed, prompts outermost."""


def _require_subject(which: str, prompt: str, subject: Subject) -> None:
    if not prompt.strip():
        raise InvalidRequest(f"the {which} prompt is empty: describe the picture, naming {subject.phrase!r}")
    if not re.search(rf"(?<!\w){re.escape(subject.phrase)}(?!\w)", prompt, re.IGNORECASE):
        raise InvalidRequest(f"the {which} prompt {prompt!r} does not name the subject: write {subject.phrase!r} in it")
