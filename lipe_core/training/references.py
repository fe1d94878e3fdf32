"""A subject's references, prepared for training: mirrored, encoded, with the subject emphasized in the loss."""

import re
from collections.abc import Sequence

from PIL import ImageOps

from lipe_core.backbone import BaseModel
from lipe_core.errors import InvalidSubject, WordNotFound
from lipe_core.subject import Sample, Subject
from lipe_core.training import dataset
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.subject_weighting import weight_subject_loss

_MIRRORED = {"left": "right", "right": "left"}


def encode_references(
    model: BaseModel, samples: Sequence[Sample], subject: Subject, config: PriorConfig
) -> tuple[EncodedSet, ...]:
    """The references for `train.train_adapter`, one set for each size.

    Captions name the subject, as those of `captions.identity_set` do. Raises InvalidSubject if the base model cannot
    read that name in one of them: such a prior could not be used in edits.
    """
    for sample in samples:
        try:
            model.token_positions(sample.caption, (subject.token, subject.class_noun))
        except WordNotFound as error:
            raise InvalidSubject(str(error)) from error
    encoded = dataset.encode(model, with_mirrored(samples) if config.mirror else samples)
    return weight_subject_loss(model, encoded, subject, config.subject_emphasis)


def with_mirrored(samples: Sequence[Sample]) -> list[Sample]:
    """The samples, followed by their mirror images with mirrored captions.

    Often only one of the few references shows a pose. A prior that saw the pose from one side only turns the subject
    around when an edit asks for it.
    """
    mirrored = [Sample(ImageOps.mirror(sample.image), mirrored_caption(sample.caption)) for sample in samples]
    return [*samples, *mirrored]


def mirrored_caption(caption: str) -> str:
    """The caption of the mirror image: left and right exchanged."""
    return re.sub(r"\b(left|right)\b", _exchange, caption, flags=re.IGNORECASE)


def _exchange(side: re.Match[str]) -> str:
    other = _MIRRORED[side[0].lower()]
    return other.capitalize() if side[0][0].isupper() else other
