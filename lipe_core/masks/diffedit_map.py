"""Where the network would paint something else, were the subject another thing.

DiffEdit, Couairon et al. 2022 (https://arxiv.org/abs/2210.11427), section 3.2, step 1: noise estimates under two
prompts differ where the picture has to change. There the prompts are of before and after; here they differ in the
class noun alone, so that the scene stays out of it. Attention to a noun finds what makes it one, such as a person's
face; the difference finds what else is the subject's, such as hair and hat.
"""

import re
from collections.abc import Sequence
from itertools import product

import torch
from einops import rearrange, reduce

from lipe_core import sdxl
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.errors import InvalidRequest
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask
from lipe_core.subject import Subject

_NOISE_LEVELS = (0.65, 0.85)
"""Coarse ones, at which a prompt still decides what there is."""

_DRAWS = 2
"""Of the noise, at each level: the paper takes ten, which cost more than the edit."""

_OUTLIERS = 0.95
"""The quantile at which differences are cut (the paper's section 3.2 removes outliers, too): an eye's are many times
those of a whole hat."""


def diffedit_map(
    model: BaseModel, x_0: Latents, captions: Sequence[str], subject: Subject, nouns: Sequence[str]
) -> Mask:
    """How much the network's answer changes with the class noun, of the latents' size and raw; one row each caption.

    Every caption must name the class noun. `nouns` are what it is exchanged for; those that the class noun holds are
    left out.
    """
    b, _, rows, columns = x_0.shape
    size = (rows * model.factor, columns * model.factor)
    # One noun after the other: together they would need several times an edit's memory.
    own, *others = (
        sdxl.denoiser(model, sdxl.encode_prompt(model, [_exchanged(c, subject, noun) for c in captions], size=size))
        for noun in (subject.class_noun, *other_nouns(subject, nouns))
    )
    differences = []
    for draw, level in product(range(_DRAWS), _NOISE_LEVELS):
        t = round(level * model.schedule.levels)
        eps = unit_noise([draw], model.latent_shape(size)).to(x_0).expand_as(x_0)
        x_t = model.schedule.add_noise(x_0, eps, torch.full((b,), t, device=x_0.device))
        answer = own(x_t, t)
        for other in others:
            change = (other(x_t, t) - answer).norm(dim=1, keepdim=True)
            differences.append(change / reduce(change, "b 1 h w -> b 1 1 1", "mean"))
    seen = torch.stack(differences).mean(dim=0)
    most = torch.quantile(seen.flatten(1), _OUTLIERS, dim=1)
    return torch.minimum(seen, rearrange(most, "b -> b 1 1 1"))


def diffedit_evaluations(subject: Subject, nouns: Sequence[str]) -> int:
    """Of the network, for each row of `diffedit_map`."""
    return _DRAWS * len(_NOISE_LEVELS) * (1 + len(other_nouns(subject, nouns)))


def other_nouns(subject: Subject, nouns: Sequence[str]) -> tuple[str, ...]:
    """Those that the class noun does not hold; an InvalidRequest if none is left."""
    own = subject.class_noun.lower().split()
    others = tuple(noun for noun in nouns if noun.lower() not in own)
    if not others:
        raise InvalidRequest(f"contrast_nouns must name something other than a {subject.class_noun}")
    return others


def _exchanged(caption: str, subject: Subject, noun: str) -> str:
    """The caption of another thing, and of no one's in particular."""
    own = rf"(?:\ban?\s+)?(?:\b{re.escape(subject.token)}\s+)?\b{re.escape(subject.class_noun)}\b"
    return re.sub(own, f"a {noun}", caption, flags=re.IGNORECASE)
