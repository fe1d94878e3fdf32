"""Scores of features: DINOv2-I, CLIP-I, CLIP-T and CLIP-D. Features need not be normalized; all scores are in [-1, 1].

DINOv2-I and CLIP-I are the same two functions on features of two judges. Report them separately:
`subject_similarity` of subject crops (`crop.subject_crop`) with the references measures identity. `image_similarity`
of whole images rises for free if the background was pasted back.
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
    """Cosine of each whole edited image with its own source image."""
    return F.cosine_similarity(edited, source, dim=-1)


def text_similarity(edited: Features, target_texts: Features) -> Scores:
    """CLIP-T: cosine of each edited image with its own target prompt, without CLIPScore's factor 2.5."""
    return F.cosine_similarity(edited, target_texts, dim=-1)


def directional_similarity(
    edited: Features, source: Features, target_texts: Features, source_texts: Features
) -> Scores:
    """CLIP-D: cos(I_edit - I_src, T_tgt - T_src) of normalized embeddings (https://arxiv.org/abs/2108.00946, eq. 2).

    0 where image or text did not change, because no change has no direction.
    """
    edited, source, target_texts, source_texts = (
        F.normalize(features.double(), dim=-1) for features in (edited, source, target_texts, source_texts)
    )
    image_change, text_change = edited - source, target_texts - source_texts
    # Rounding gives equal images of one batch a difference of about 1e-7, and so a random direction.
    is_unchanged = torch.minimum(image_change.norm(dim=-1), text_change.norm(dim=-1)) < 1e-5
    return F.cosine_similarity(image_change, text_change, dim=-1).masked_fill(is_unchanged, 0.0).float()
