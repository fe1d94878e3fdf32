"""Requests and results, the same for every editing method."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from PIL import Image

from lipe_core.errors import InvalidRequest
from lipe_core.masks.mask_ops import composite
from lipe_core.subject import Subject


@dataclass(frozen=True)
class EditRequest:
    """An image and the prompts that say what to change in it.

    Every target prompt is generated once for each seed. All prompts name the subject as `subject.phrase`.
    `mask` is greyscale, of the image's size, and white where the image may change; a grey counts as white or black,
    whichever is nearer. Without a mask, the method finds the subject. `references` are images of the subject, of any
    size, for methods that need them at the time of the edit; a prior has learned from them before. Guidance leads away
    from `negative_prompt`, which need not name the subject.
    """

    image: Image.Image
    source_prompt: str
    target_prompts: tuple[str, ...]
    subject: Subject
    seeds: tuple[int, ...] = (0,)
    mask: Image.Image | None = None
    references: tuple[Image.Image, ...] = ()
    negative_prompt: str = ""

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


class EditImages(NamedTuple):
    """An edit's images at the size of the request's image. The names are the roles of the service's files."""

    image: Image.Image
    source_mask: Image.Image
    edit_mask: Image.Image
    uncomposited: Image.Image


MakeImage = Callable[[], Image.Image]
"""Makes an image when it is needed: each call makes it again, and nothing keeps it."""


MEASURES = ("mask_share",)
"""What a method knows of the quality of an edit. `mask_share`: the share of the image that may change, if the method
itself chose the region."""


@dataclass(frozen=True)
class Edit:
    """One edited image with its masks, costs and parameters.

    `uncomposited` is the decoder's image, before the source's own pixels return. If the method composites, it gives
    the `source`, and `image` has the source's bytes where `edit_mask` is black. Timings are seconds per stage, shared
    by all edits of a request. Evaluations are network forward passes of one row, with the shared inversion counted in
    full. `parameters` suffice to repeat the edit. `measures` has those of MEASURES that the method knows, by name.

    An edit keeps what the network made, which is small. The images have the size of the request's image, up to 50
    million pixels. Each is made when it is read and is not kept, so that a list of edits stays small. Read all four at
    once by `images`.
    """

    target_prompt: str
    seed: int
    make_uncomposited: MakeImage
    make_source_mask: MakeImage
    make_edit_mask: MakeImage
    source: Image.Image | None
    timings: dict[str, float]
    evaluations: int
    parameters: dict[str, Any]
    measures: Mapping[str, float] = field(default_factory=dict)

    def images(self) -> EditImages:
        """Make all images."""
        uncomposited, edit_mask = self.make_uncomposited(), self.make_edit_mask()
        image = uncomposited if self.source is None else composite(uncomposited, self.source, edit_mask)
        return EditImages(image, self.make_source_mask(), edit_mask, uncomposited)

    @property
    def image(self) -> Image.Image:
        """Make the edited image."""
        if self.source is None:
            return self.make_uncomposited()
        return composite(self.make_uncomposited(), self.source, self.make_edit_mask())

    @property
    def uncomposited(self) -> Image.Image:
        """Make the decoder's image."""
        return self.make_uncomposited()

    @property
    def source_mask(self) -> Image.Image:
        """Make the mask of the subject in the source image."""
        return self.make_source_mask()

    @property
    def edit_mask(self) -> Image.Image:
        """Make the mask of the region that changed."""
        return self.make_edit_mask()


OnPreview = Callable[[list[Image.Image]], None]
"""Called with the images of an edit's first pass, one for each prompt and seed. It may raise to stop the work."""


def no_preview(images: list[Image.Image]) -> None:
    """Ignore previews."""


def _require_subject(which: str, prompt: str, subject: Subject) -> None:
    if not prompt.strip():
        raise InvalidRequest(f"the {which} prompt is empty: describe the image, naming {subject.phrase!r}")
    if not re.search(rf"(?<!\w){re.escape(subject.phrase)}(?!\w)", prompt, re.IGNORECASE):
        raise InvalidRequest(f"the {which} prompt {prompt!r} does not name the subject: write {subject.phrase!r} in it")
