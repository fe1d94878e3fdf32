"""Scores of features: DINOv2-I, CLIP-I, CLIP-T and CLIP-D. Features need not be normalised; all scores are in [-1, 1].

DINOv2-I and CLIP-I are one pair of functions on two judges' features. Report the two kinds apart:
`subject_similarity` of subject crops (`crop.subject_crop`) with the references says whether the subject is still
itself; `image_similarity` of whole pictures rises for free where the background was pasted back.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lipe_core.shapes import Features

Scores = Float[Tensor, "n"]
"""One score for each row."""


def subject_similarity(crops: Features, references: Float[Tensor, "r d"]) -> Scores:
    """Mean cosine of each crop with all references (DreamBooth, https://arxiv.org/abs/2208.12242, section 4.2)."""
    return (F.normalize(crops, dim=-1) @ F.normalize(references, dim=-1).T).mean(dim=-1)


def image_similarity(edited: Features, source: Features) -> Scores:
    """Cosine of each whole edited picture with its own test picture."""
    return F.cosine_similarity(edited, source, dim=-1)


def text_similarity(edited: Features, target_texts: Features) -> Scores:
    """CLIP-T: cosine of each edited picture with its own target prompt, without CLIPScore's factor 2.5."""
    return F.cosine_similarity(edited, target_texts, dim=-1)


def directional_similarity(
    edited: Features, source: Features, target_texts: Features, source_texts: Features
) -> Scores:
    """CLIP-D: cos(I_edit - I_src, T_tgt - T_src) of normalised embeddings (https://arxiv.org/abs/2108.00946, eq. 2).

    0 where picture or text did not change: what goes nowhere goes in no direction.
    """
    edited, source, target_texts, source_texts = (
        F.normalize(features.double(), dim=-1) for features in (edited, source, target_texts, source_texts)
    )
    moved, meant = edited - source, target_texts - source_texts
    # Rounding alone gives equal pictures of one batch a difference of about 1e-7, and so a random direction.
    still = torch.minimum(moved.norm(dim=-1), meant.norm(dim=-1)) < 1e-5
    return F.cosine_similarity(moved, meant, dim=-1).masked_fill(still, 0.0).float()
