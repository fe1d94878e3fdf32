"""Words for pictures: captions of the references, and action prompts for the regularization set.

LIPE, section 3.2 (https://arxiv.org/abs/2406.17236): captions name what an edit changes (action, pose,
expression, view, surroundings). They leave out what identifies, so that the identity binds to the token.
"""

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal

import torch
from PIL import Image

from lipe_core.errors import InvalidCaptions
from lipe_core.randomness import stream
from lipe_core.subject import Sample, Subject

Captioner = Callable[[Sequence[Image.Image], Subject], Sequence[str]]
"""(pictures of one subject) -> a caption for each. A vision-language model (`vlm.captioner`), or `plain_captions`."""

Category = Literal["animal", "object", "person"]
LONGEST_CAPTION = 500

_ACTIONS: dict[Category, tuple[str, ...]] = {
    "animal": ("sitting", "standing", "lying down", "jumping", "running", "walking", "sleeping", "eating"),
    "object": ("closed", "open", "with its arms up", "with its arms down", "lying on its side", "upside down"),
    "person": ("upright", "tilting the head", "talking", "waving", "walking", "sitting"),
}
_LOOKS = ("with a neutral expression", "smiling", "surprised", "with eyes closed", "with its mouth open")
_VIEWS = ("looking at the camera", "looking left", "looking right", "seen from the side", "seen from behind")
_PLACES = ("in a meadow", "at the beach", "in the desert", "in the snow", "at night", "in a living room")


def plain_caption(image: Image.Image, subject: Subject) -> str:
    """A caption that needs no model: it names the subject and nothing else."""
    return f"a photo of {subject.phrase}"


def plain_captions(images: Sequence[Image.Image], subject: Subject) -> list[str]:
    """The captioner that needs no model."""
    return [plain_caption(image, subject) for image in images]


def identity_set(
    references: Sequence[Image.Image],
    subject: Subject,
    captions: Sequence[str | None] | None = None,
    captioner: Captioner = plain_captions,
) -> list[Sample]:
    """The references with their captions. A caption that the user gave wins over the captioner's.

    The captioner is asked once, for all pictures that have none.
    """
    if not references:
        raise InvalidCaptions("give at least one reference picture of the subject")
    given = list(captions) if captions is not None else [None] * len(references)
    if len(given) != len(references):
        raise InvalidCaptions(f"{len(references)} references need as many captions, got {len(given)}")
    bare = [k for k, caption in enumerate(given) if not (caption and caption.strip())]
    written = captioner([references[k] for k in bare], subject) if bare else []
    wanted = {k: caption or "" for k, caption in enumerate(given)} | dict(zip(bare, written, strict=True))
    return [Sample(image, name_subject(wanted[k], subject)) for k, image in enumerate(references)]


def name_subject(caption: str, subject: Subject) -> str:
    """The caption, cleaned and bounded, with the subject named once: "a dog runs" -> "a sks dog runs".

    A caption that names the subject stays as it is; one without the class noun begins with the subject.
    """
    clean = " ".join("".join(c if c.isprintable() else " " for c in caption).split())[:LONGEST_CAPTION]
    noun = re.escape(subject.class_noun)
    if re.search(rf"\b{re.escape(subject.token)}\s+{noun}\b", clean, re.IGNORECASE):
        return clean
    named, count = re.subn(rf"\b{noun}\b", subject.phrase, clean, count=1, flags=re.IGNORECASE)
    return named if count else f"a photo of {subject.phrase}, {clean}".rstrip(", ")


def class_prompts(
    class_noun: str,
    count: int,
    seed: int,
    category: Category = "animal",
    is_known: Callable[[str], bool] = lambda phrase: True,
) -> list[str]:
    """`count` action prompts for the class, none twice before the bank is used up, decided by the seed.

    Phrases that are not `is_known` are left out where others remain: the base model would paint them at random.
    """
    banks = [
        [phrase for phrase in bank if is_known(phrase)] or list(bank)
        for bank in (_ACTIONS[category], _VIEWS, _LOOKS, _PLACES)
    ]
    prompts = [f"a photo of a {class_noun} {', '.join(phrases)}" for phrases in product(*banks)]
    order = torch.randperm(len(prompts), generator=stream("class prompts", seed)).tolist()
    return [prompts[order[k % len(order)]] for k in range(count)]
