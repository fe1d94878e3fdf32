"""Captions of the references: the identity set.

LIPE, section 3.2 (https://arxiv.org/abs/2406.17236): captions name what an edit changes (action, pose,
expression, view, surroundings). They leave out what identifies the subject, so that the token stands for it.
"""

import re
from collections.abc import Callable, Sequence

from PIL import Image

from lipe_core.errors import InvalidCaptions
from lipe_core.subject import Sample, Subject

Captioner = Callable[[Sequence[Image.Image], Subject], Sequence[str]]
"""(images of one subject) -> a caption for each. A vision-language model (`vlm.captioner`), or `plain_captions`."""

LONGEST_CAPTION = 500
"""Characters of a caption that are kept."""


def plain_caption(image: Image.Image, subject: Subject) -> str:
    """A caption that names the subject and nothing else; no model is needed."""
    return f"a photo of {subject.phrase}"


def plain_captions(images: Sequence[Image.Image], subject: Subject) -> list[str]:
    """The captioner that needs no model: `plain_caption` for each image."""
    return [plain_caption(image, subject) for image in images]


def identity_set(
    references: Sequence[Image.Image],
    subject: Subject,
    captions: Sequence[str | None] | None = None,
    captioner: Captioner = plain_captions,
) -> list[Sample]:
    """The references with their captions, each of which names the subject.

    A caption in `captions` is used as it is; `captioner` is called once, for all images without one. Raises
    InvalidCaptions without references, and for another number of captions than of references.
    """
    if not references:
        raise InvalidCaptions("give at least one reference image of the subject")
    given = list(captions) if captions is not None else [None] * len(references)
    if len(given) != len(references):
        raise InvalidCaptions(f"{len(references)} references need as many captions, got {len(given)}")
    missing = [k for k, caption in enumerate(given) if not (caption and caption.strip())]
    written = captioner([references[k] for k in missing], subject) if missing else []
    texts = {k: caption or "" for k, caption in enumerate(given)} | dict(zip(missing, written, strict=True))
    return [Sample(image, name_subject(texts[k], subject)) for k, image in enumerate(references)]


def name_subject(caption: str, subject: Subject) -> str:
    """The caption as one printable line of bounded length that names the subject: "a dog runs" -> "a sks dog runs".

    A caption that names the subject keeps its words. The first class noun gets the token; without the class noun,
    the caption begins with the subject.
    """
    printable = "".join(c if c.isprintable() else " " for c in caption)
    clean = " ".join(printable.split())[:LONGEST_CAPTION]
    noun = re.escape(subject.class_noun)
    if re.search(rf"\b{re.escape(subject.token)}\s+{noun}\b", clean, re.IGNORECASE):
        return clean
    named, count = re.subn(rf"\b{noun}\b", subject.phrase, clean, count=1, flags=re.IGNORECASE)
    return named if count else f"a photo of {subject.phrase}, {clean}".rstrip(", ")
