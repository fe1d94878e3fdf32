"""Where the base model sees a picture's subject: its own attention to the class noun, at a few noise levels.

No inversion is needed, and no training has blurred the maps; but two subjects of one class look the same to it.
"""

from collections.abc import Sequence

import torch

from lipe_core import mask as masks
from lipe_core.branch import attending, encode_prompts
from lipe_core.ddim import unit_noise
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask
from lipe_core.subject import Subject

_NOISE_LEVELS = (0.05, 0.25, 0.45, 0.65, 0.85)
"""Fine ones draw the outline, coarse ones fill it."""

_REFINE = 3

EVALUATIONS = len(_NOISE_LEVELS)
"""Of the network, for each row of `class_map`."""


def class_map(model: BaseModel, x_0: Latents, captions: Sequence[str], subject: Subject) -> Mask:
    """The mean attention map of each row at the latents' size, raw as `attention.py` gives it.

    Each caption must name the class noun.
    """
    _, _, rows, columns = x_0.shape
    size = (rows * model.factor, columns * model.factor)
    eps = unit_noise(range(len(x_0)), model.latent_shape(size)).to(x_0)
    prompts = encode_prompts(model, captions, subject, size, personal=False)
    seen = []
    with attending(model, prompts, 1.0, attention_tokens=256, refine=_REFINE) as branch:
        for level in _NOISE_LEVELS:
            t = round(level * model.schedule.levels)
            branch.denoise(model.schedule.add_noise(x_0, eps, torch.full((len(x_0),), t, device=x_0.device)), t)
            seen.append(masks.resize(branch.pop_map(), (rows, columns)))
    return torch.stack(seen).mean(dim=0)
