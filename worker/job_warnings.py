"""The warnings that a worker adds to its job: checks of the images, whose results `docs/warnings.md` explains.

A check is an extra: without memory or database for it, the job continues without its warning.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress

import torch
from PIL import Image

from ledger import attempts
from ledger.database import UNAVAILABLE
from ledger.job_warnings import JobWarning
from lipe_core import backbone
from lipe_core.backbone import BaseModel
from lipe_core.captioning.phrase_check import Phrase
from lipe_core.masks.presence import class_presence
from lipe_core.memory import free_memory
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.metrics.color import VISIBLE
from lipe_core.subject import Subject
from worker.attempt import Attempt, ClaimLost
from worker.context import WorkerContext

STAGE = "checking"
LEAST_PRESENCE = -1.645
"""The limit of a one-sided test at 5 %: the class noun is unlikely to describe the image."""
MOST_SHOWN = 5
"""Phrases that the message of a warning names."""
LARGEST_MASK = 0.8
"""Share of the image. A larger edit mask leaves little of the source around the subject."""

log = logging.getLogger(__name__)


def warn(context: WorkerContext, attempt: Attempt, found: Sequence[JobWarning]) -> None:
    """Add the warnings to the job at once. Raises ClaimLost."""
    if not found:
        return
    with suppress(*UNAVAILABLE):
        with context.begin() as session:
            is_kept = attempts.warn(session, attempt.claim, found)
        if not is_kept:
            raise ClaimLost


def check_images(context: WorkerContext, attempt: Attempt, images: Sequence[Image.Image]) -> None:
    """Warn if the base model does not know images like these. Raises the same exceptions as `Attempt.report`."""
    model, changes = context.gpu.base_model(), []
    with attempt.stage(STAGE, 0, len(images)):
        try:
            for number, image in enumerate(images, start=1):
                changes.append(backbone.color_change(model, image))
                attempt.report(STAGE, number, len(images))
        except torch.OutOfMemoryError:
            log.warning("job %s: no memory to check the images", attempt.claim.job_id)
            changes.clear()
    free_memory()
    warn(context, attempt, unlike_the_base_model(model, changes))


def check_subject(context: WorkerContext, attempt: Attempt, request: EditRequest) -> None:
    """Warn if the source does not show the subject's class. A user's mask says where the subject is.

    Raises the same exceptions as `Attempt.report`.
    """
    if request.mask is not None:
        return
    model, noun = context.gpu.base_model(), request.subject.class_noun
    with attempt.stage(STAGE):
        try:
            latents = backbone.encode_image(model, [backbone.at_native_shape(model, request.image)])
            presence = float(class_presence(model, latents, noun))
        except torch.OutOfMemoryError:
            log.warning("job %s: no memory to look for the subject", attempt.claim.job_id)
            return
    warn(context, attempt, subject_not_found(noun, presence))


def check_captions(
    context: WorkerContext,
    attempt: Attempt,
    images: Sequence[Image.Image],
    captions: Sequence[str],
    subject: Subject,
) -> list[Sequence[Phrase]]:
    """The phrases of each caption with their scores, and a warning if an image contradicts one.

    No phrases without LIPE_CAPTION_CHECKER. Raises the same exceptions as `Attempt.report`.
    """
    if context.caption_checker is None:
        return [[] for _ in images]
    phrases: list[Sequence[Phrase]] = []
    with attempt.stage(STAGE, 0, len(images)):
        for number, (image, caption) in enumerate(zip(images, captions, strict=True), start=1):
            phrases.append(context.caption_checker.check(image, caption, subject))
            attempt.report(STAGE, number, len(images))
    warn(context, attempt, doubtful_captions(phrases))
    return phrases


def doubtful_captions(phrases: Sequence[Sequence[Phrase]]) -> list[JobWarning]:
    """The warning about phrases that their images contradict, if there are any."""
    doubtful = [
        f"{phrase.text!r} of image {number}"
        for number, checked in enumerate(phrases, start=1)
        for phrase in checked
        if phrase.is_doubtful
    ]
    if not doubtful:
        return []
    more = f" and {len(doubtful) - MOST_SHOWN} more" if len(doubtful) > MOST_SHOWN else ""
    message = f"CLIP does not see {', '.join(doubtful[:MOST_SHOWN])}{more}; look at the images and correct the captions"
    return [JobWarning("caption_doubtful", message)]


def subject_not_found(noun: str, presence: float) -> list[JobWarning]:
    """The warning about a source in which the class has this presence (`lipe_core.masks.presence`)."""
    if presence > LEAST_PRESENCE:
        return []
    message = (
        f"the base model finds no {noun} in the source: the words 'a {noun}' describe it worse than no words "
        f"({presence:.1f} standard errors); check the image and the class noun, or send a mask"
    )
    return [JobWarning("subject_not_found", message)]


def check_edits(context: WorkerContext, attempt: Attempt, edits: Sequence[Edit]) -> None:
    """Warn of what the method has measured. Raises ClaimLost."""
    warn(context, attempt, [warning for edit in edits for warning in poor_edit(edit)])


def poor_edit(edit: Edit) -> list[JobWarning]:
    """The warnings about an edit whose method chose the region that may change."""
    share = edit.measures.get("mask_share")
    if share == 0.0:
        message = (
            "the result equals the source, because the model's new image shows the subject as it is; name the change "
            "more clearly in the prompt, crop the image around the subject, or send a mask"
        )
        return [JobWarning("nothing_changed", message)]
    if share is None or share <= LARGEST_MASK:
        return []
    message = (
        f"{share:.0%} of the image may change, so that little of the source is kept; send a mask, or describe the "
        "source image in source_prompt"
    )
    return [JobWarning("mask_covers_nearly_all", message)]


def unlike_the_base_model(model: BaseModel, changes: Sequence[float]) -> list[JobWarning]:
    """The warning about images whose colors the VAE alone changes by so much, if it changes any of them visibly."""
    unlike = [change for change in changes if change > VISIBLE]
    if not unlike:
        return []
    which = "the image is" if len(changes) == 1 else f"{len(unlike)} of {len(changes)} images are"
    message = (
        f"{which} unlike those that the base model {model.name} knows: it changes their colors by {max(unlike):.1f} "
        f"even without an edit, and a change of {VISIBLE} is visible; use a base model that knows such images"
    )
    return [JobWarning("unlike_the_base_model", message)]
