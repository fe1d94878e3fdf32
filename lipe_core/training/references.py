"""A subject's references as training sees them: turned to both sides, encoded, and with the subject emphasised."""

import re
from collections.abc import Sequence

from PIL import ImageOps

from lipe_core import sdxl
from lipe_core.errors import InvalidSubject
from lipe_core.sdxl import BaseModel
from lipe_core.subject import Sample, Subject
from lipe_core.training import dataset
from lipe_core.training.config import PriorConfig
from lipe_core.training.dataset import EncodedSet
from lipe_core.training.subject_weighting import weight_subject_loss

_TURNED = {"left": "right", "right": "left"}


def encode_references(
    model: BaseModel, samples: Sequence[Sample], subject: Subject, config: PriorConfig
) -> tuple[EncodedSet, ...]:
    """What `train.learn_prior` learns from, a set for each size. Captions must name the subject, as
    `captions.identity_set` sees to, in words that the base model knows and before it stops reading: an InvalidSubject
    tells so before a training is spent on a name that no edit can use.
    """
    shown = with_mirrored(samples) if config.mirror else samples
    for sample in samples:
        try:
            sdxl.token_positions(model, sample.caption, (subject.token, subject.class_noun))
        except ValueError as error:
            raise InvalidSubject(str(error)) from error
    return weight_subject_loss(model, dataset.encode(model, shown), subject, config.subject_emphasis)


def with_mirrored(samples: Sequence[Sample]) -> list[Sample]:
    """The samples, and behind them all of them as in a mirror.

    Of a few references often one alone shows a pose, and a prior that knows it from one side turns the subject round
    when an edit asks for it. Captions turn with their pictures.
    """
    mirrored = [Sample(ImageOps.mirror(sample.image), mirrored_caption(sample.caption)) for sample in samples]
    return [*samples, *mirrored]


def mirrored_caption(caption: str) -> str:
    """What the caption says of the picture in a mirror: left is right and right is left."""
    return re.sub(r"\b(left|right)\b", _turned, caption, flags=re.IGNORECASE)


def _turned(side: re.Match[str]) -> str:
    turned = _TURNED[side[0].lower()]
    return turned.capitalize() if side[0][0].isupper() else turned
