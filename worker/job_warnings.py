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
from lipe_core import sdxl
from lipe_core.methods.request import Edit
from lipe_core.metrics.color import VISIBLE
from lipe_core.sdxl import BaseModel
from worker.attempt import Attempt, ClaimLost
from worker.context import WorkerContext
from worker.gpu import free_memory

STAGE = "checking"
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
                changes.append(sdxl.color_change(model, image))
                attempt.report(STAGE, number, len(images))
        except torch.OutOfMemoryError:
            log.warning("job %s: no memory to check the images", attempt.claim.job_id)
            changes.clear()
    free_memory()
    warn(context, attempt, unlike_the_base_model(model, changes))


def check_edits(context: WorkerContext, attempt: Attempt, edits: Sequence[Edit]) -> None:
    """Warn of what the method has measured. Raises ClaimLost."""
    warn(context, attempt, [warning for edit in edits for warning in poor_edit(edit)])


def poor_edit(edit: Edit) -> list[JobWarning]:
    """The warnings about an edit."""
    share = edit.measures.get("mask_share", 0.0)
    if share <= LARGEST_MASK:
        return []
    message = (
        f"{share:.0%} of the image may change for {edit.target_prompt!r}, so that little of the source is kept; send a "
        "mask, or describe the source image in source_prompt"
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
