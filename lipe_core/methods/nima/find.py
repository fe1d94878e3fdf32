"""The subject in a source image, found as an edit finds it, without the edit."""

from functools import partial

import torch
from PIL import Image

from lipe_core.backbone import BaseModel
from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.mask_images import hard_mask_image
from lipe_core.masks.segmenter import Segmenter
from lipe_core.methods.nima.focus import focused
from lipe_core.methods.request import EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.subject import Subject


@torch.no_grad()
def find_subject(
    model: BaseModel, image: Image.Image, subject: Subject, source_prompt: str, segmenter: Segmenter | None = None
) -> Image.Image:
    """The mask of the subject in the image, which `source_prompt` describes: greyscale, white where the subject is.

    It equals the source mask of an edit without a user's mask, since neither the prior nor the target decides it.
    """
    request = EditRequest(image, source_prompt, (source_prompt,), subject)
    finder = SubjectFinder(model, subject, segmenter=segmenter)
    session = focused(EditSession.of(model, request, None, keeps_token=True), finder)
    found = finder.silhouette(session.pixels(), session.x_0(), [session.source_prompt])
    return session.in_place(partial(hard_mask_image, found.cpu(), session.crop.size))()
