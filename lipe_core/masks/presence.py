"""Whether an image shows the subject's class: whether the class noun helps the network to predict the image's noise.

Diffusion classifiers, Li et al. 2023 (https://arxiv.org/abs/2303.16203), section 3: the prompt that describes an image
has the smallest error of the predicted noise. All prompts are compared on the same noise, because most of the error
does not depend on the prompt.
"""

import math
from itertools import product

import torch
from einops import rearrange

from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.shapes import Latents, PerRow

_NOISE_LEVELS = (0.65, 0.85)
"""Fractions of the schedule. At coarse levels the prompt still decides the content."""

_NOISE_SAMPLES = 2
_PLAIN = "a photo"


@torch.no_grad()
def class_presence(model: BaseModel, x_0: Latents, class_noun: str) -> PerRow:
    """How surely the class noun describes each row's image: above 0 it helps, below 0 it misleads.

    The value is the mean gain of a latent by the noun, divided by its standard error. It has no unit.
    """
    b = len(x_0)
    size = model.image_size(x_0)
    named, plain = (
        model.denoiser(model.encode_prompt([prompt] * b, size=size))
        for prompt in (f"{_PLAIN} of a {class_noun}", _PLAIN)
    )
    gains = []
    for sample, level in product(range(_NOISE_SAMPLES), _NOISE_LEVELS):
        t = round(level * model.schedule.levels)
        eps = unit_noise([sample], model.latent_shape(size)).to(x_0).expand_as(x_0)
        x_t = model.schedule.add_noise(x_0, eps, torch.full((b,), t, device=x_0.device))
        errors = [(denoise(x_t, t) - eps).square().mean(dim=1) for denoise in (plain, named)]
        gains.append(errors[0] - errors[1])
    gain = rearrange(torch.stack(gains).mean(dim=0), "b h w -> b (h w)")
    error = gain.std(dim=1).clamp(min=torch.finfo(gain.dtype).tiny) / math.sqrt(gain.shape[1])
    return (gain.mean(dim=1) / error).cpu()
