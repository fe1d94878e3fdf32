"""Whether an image contradicts a phrase of its caption, by CLIP (https://arxiv.org/abs/2103.00020).

A vision-language model describes what is not there (object hallucination, https://arxiv.org/abs/1809.02156), and a
prior learns it. CLIP does not know what is true. It knows whether the subject with the phrase describes the image
better than the subject alone: the difference of both logits is the logarithm of the odds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from PIL import Image

from lipe_core.metrics.features import Clip
from lipe_core.subject import Subject

DOUBTFUL = -3.0
"""Odds of 1 to 20. docs/captions.md has what this limit finds and misses on drawn images."""

_FRAME = re.compile(r"^(?:an?|the|this)\s+[\w-]+\s+of\s+", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*[,;.]\s+|\s+(?:and|while)\s+")
_LINK = re.compile(r"^(?:it\s+)?(?:that\s+)?(?:is|are)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Phrase:
    """A phrase of a caption and its score, the logarithm of odds: below 0 the image fits better without it."""

    text: str
    score: float

    @property
    def is_doubtful(self) -> bool:
        """Whether the image contradicts the phrase, as far as CLIP knows."""
        return self.score < DOUBTFUL


def phrases_of(caption: str, subject: Subject) -> list[str]:
    """The parts of a caption that say something of the image, without the subject's name."""
    token, noun = re.escape(subject.token), re.escape(subject.class_noun)
    named = re.compile(rf"\b(?:(?:an?|the|one|this)\s+)?(?:{token}\s+)?{noun}\b", re.IGNORECASE)
    parts = []
    for part in _SEPARATOR.split(caption.strip().rstrip(".")):
        plain = named.sub("", _FRAME.sub("", part.strip()), count=1)
        plain = " ".join(_LINK.sub("", plain.strip()).split())
        if len(plain) > 2:  # a lone article is no phrase
            parts.append(plain)
    return list(dict.fromkeys(parts))


def check_caption(clip: Clip, image: Image.Image, caption: str, subject: Subject) -> list[Phrase]:
    """The caption's phrases with their scores; none for a caption that only names the subject."""
    return score_phrases(clip, image, phrases_of(caption, subject), subject.class_noun)


def score_phrases(clip: Clip, image: Image.Image, phrases: Sequence[str], class_noun: str) -> list[Phrase]:
    """The score of each phrase on this image."""
    if not phrases:
        return []
    plain = f"a photo of a {class_noun}"
    features = clip.texts([plain, *(f"{plain} {phrase}" for phrase in phrases)])
    logits = clip.scale * F.cosine_similarity(features, clip.images([image]), dim=-1)
    return [Phrase(text, float(score)) for text, score in zip(phrases, logits[1:] - logits[0], strict=True)]
