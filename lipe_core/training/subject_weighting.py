"""Where in its references the subject is, so that training looks there: Break-A-Scene's masked loss in a soft form.

https://arxiv.org/abs/2305.16311, section 3.2, with the base model's own attention to the class noun as the mask, where
the paper asks the user for one. Most of a photo is its surroundings, which a prior shall not learn.
"""

from collections.abc import Sequence
from dataclasses import replace

from lipe_core.masks import mask_ops
from lipe_core.masks.localization import class_map
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Mask
from lipe_core.subject import Subject
from lipe_core.training.dataset import EncodedSet


def weight_subject_loss(
    model: BaseModel, buckets: Sequence[EncodedSet], subject: Subject, factor: float
) -> tuple[EncodedSet, ...]:
    """The references with a loss that counts `factor` times on the subject; a factor of 1 leaves them as they are.

    Captions must name the class noun, as `captions.identity_set` sees to.
    """
    if factor == 1:
        return tuple(buckets)
    return tuple(replace(b, emphasis=1 + (factor - 1) * find_subject(model, b, subject)) for b in buckets)


def find_subject(model: BaseModel, encoded: EncodedSet, subject: Subject) -> Mask:
    """Zeros and ones over the latents of each row."""
    maps = class_map(model, encoded.latents.to(model.device), encoded.captions, subject)
    return mask_ops.subject_mask(maps, threshold="otsu", dilation=0.0).cpu()
