"""A larger loss weight on the subject in its references: Break-A-Scene's masked loss in a soft form.

https://arxiv.org/abs/2305.16311, section 3.2. The paper takes the mask from the user; here it is the base model's
attention to the class noun. Most of a photo is its surroundings, which a prior must not learn.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from lipe_core.backbone import BaseModel
from lipe_core.masks import mask_ops
from lipe_core.masks.localization import class_map
from lipe_core.memory import in_chunks
from lipe_core.shapes import Mask
from lipe_core.subject import Subject
from lipe_core.training.dataset import EncodedSet


def weight_subject_loss(
    model: BaseModel, references: Sequence[EncodedSet], subject: Subject, factor: float
) -> tuple[EncodedSet, ...]:
    """The references with an emphasis of `factor` on the subject and 1 elsewhere; unchanged for a factor of 1.

    Captions must contain the class noun, as those of `captions.identity_set` do.
    """
    if factor == 1:
        return tuple(references)
    return tuple(
        replace(encoded, emphasis=1 + (factor - 1) * find_subject(model, encoded, subject)) for encoded in references
    )


def find_subject(model: BaseModel, encoded: EncodedSet, subject: Subject) -> Mask:
    """A mask of zeros and ones over the latents of each row, on the CPU: 1 on the subject."""

    def find(rows: range) -> Mask:
        part = encoded.select(torch.arange(rows.start, rows.stop))
        return class_map(model, part.latents.to(model.device), part.captions, subject)

    maps = torch.cat(in_chunks(len(encoded), find))
    return mask_ops.subject_mask(maps, threshold="otsu", dilation=0.0).cpu()
