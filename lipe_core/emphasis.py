"""Where in its references the subject is, so that training looks there: Break-A-Scene's masked loss in a soft form.

https://arxiv.org/abs/2305.16311, section 3.2, with the base model's own attention to the class noun as the mask, where
the paper asks the user for one. Most of a photo is its surroundings, which a prior shall not learn.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from lipe_core import mask as masks
from lipe_core.branch import attending, encode_prompts
from lipe_core.dataset import EncodedSet
from lipe_core.ddim import unit_noise
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Mask
from lipe_core.subject import Subject

_NOISE_LEVELS = (0.15, 0.3, 0.45)
"""Where attention is sharp: below, all is detail; above, the picture is not yet decided."""


def emphasise(
    model: BaseModel, buckets: Sequence[EncodedSet], subject: Subject, factor: float
) -> tuple[EncodedSet, ...]:
    """The references with a loss that counts `factor` times on the subject; a factor of 1 leaves them as they are.

    Captions must name the class noun, as `captions.identity_set` sees to.
    """
    if factor == 1:
        return tuple(buckets)
    return tuple(replace(b, emphasis=1 + (factor - 1) * find_subject(model, b, subject)) for b in buckets)


def find_subject(model: BaseModel, encoded: EncodedSet, subject: Subject) -> Mask:
    """Zeros and ones over the latents of each row, from the mean attention map of three noise levels."""
    _, _, rows, columns = encoded.latents.shape
    size = (rows * model.factor, columns * model.factor)
    x_0 = encoded.latents.to(model.device)
    eps = unit_noise(range(len(encoded)), model.latent_shape(size)).to(x_0)
    prompts = encode_prompts(model, encoded.captions, subject, size, personal=False)
    seen = []
    with attending(model, prompts, 1.0, attention_tokens=256, refine=2) as branch:
        for level in _NOISE_LEVELS:
            t = round(level * model.schedule.levels)
            branch.denoise(model.schedule.add_noise(x_0, eps, torch.full((len(x_0),), t, device=x_0.device)), t)
            seen.append(masks.resize(branch.pop_map(), (rows, columns)))
    return masks.subject_mask(torch.stack(seen).mean(dim=0), threshold="otsu", dilation=0.0).cpu()
