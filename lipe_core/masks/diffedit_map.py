"""Maps of where the network's prediction changes if another noun replaces the subject's class noun.

DiffEdit, Couairon et al. 2022 (https://arxiv.org/abs/2210.11427), section 3.2, step 1: noise predictions under two
prompts differ where the image has to change. The paper compares the prompts before and after the edit. Here the two
prompts differ in the class noun alone, so that the scene does not enter the map. Attention to a noun finds its typical
parts, such as a person's face; the difference also finds the subject's other parts, such as hair and hat.
"""

import re
from collections.abc import Sequence
from itertools import product

import torch
from einops import rearrange, reduce

from lipe_core import backbone
from lipe_core.backbone import BaseModel, PromptCache
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.memory import in_chunks
from lipe_core.shapes import Latents, Mask
from lipe_core.subject import Subject

_OTHER_NOUNS = ("backpack", "dog")
"""A thing and an animal that any base model knows. A subject is at most one of them."""

_NOISE_LEVELS = (0.65, 0.85)
"""Fractions of the schedule. At coarse levels the prompt still decides the content."""

_NOISE_SAMPLES = 2
"""Noise samples per level. The paper takes ten, which would cost more than the edit."""

ROWS_AT_ONCE = 8
"""Rows of the network at once: as many as four edits with guidance have. Fewer if the memory is full."""

_CLIP_QUANTILE = 0.95
"""Differences are clipped at this quantile; the paper's section 3.2 removes outliers too. Those of an eye are many
times those of a whole hat."""


def diffedit_map(
    model: BaseModel, x_0: Latents, captions: Sequence[str], subject: Subject, cache: PromptCache | None = None
) -> Mask:
    """The raw map of each row, of the latents' size. Every caption must name the class noun."""
    b = len(x_0)
    size = model.image_size(x_0)
    cache = cache or PromptCache(model)
    by_noun = diffedit_prompts(captions, subject)
    prompts = Conditioning.concat([cache.encode(batch, size=size) for batch in by_noun])
    draws = list(product(range(_NOISE_SAMPLES), _NOISE_LEVELS))
    t = torch.tensor([round(level * model.schedule.levels) for _, level in draws]).repeat_interleave(b).to(x_0.device)
    eps = torch.cat([unit_noise([sample], model.latent_shape(size)).to(x_0).expand_as(x_0) for sample, _ in draws])
    x_t = model.schedule.add_noise(x_0.repeat(len(draws), 1, 1, 1), eps, t)
    noised, prompt = torch.cartesian_prod(torch.arange(len(draws)), torch.arange(len(by_noun) * b)).unbind(dim=1)
    noised = noised * b + prompt % b

    def some_noise(part: range) -> Latents:
        rows = slice(part.start, part.stop)
        own_rows = noised[rows].to(x_0.device)
        return backbone.predict_noise(model, x_t[own_rows], t[own_rows], prompts.select(prompt[rows]))

    found = torch.cat(in_chunks(len(noised), some_noise, at_most=ROWS_AT_ONCE))
    found = rearrange(found, "(draw noun b) c h w -> draw noun b c h w", draw=len(draws), b=b)
    differences = []
    for own_eps, *other_eps in found:
        for other in other_eps:
            change = (other - own_eps).norm(dim=1, keepdim=True)
            differences.append(change / reduce(change, "b 1 h w -> b 1 1 1", "mean"))
    mean = torch.stack(differences).mean(dim=0)
    highest = torch.quantile(mean.flatten(1), _CLIP_QUANTILE, dim=1)
    return torch.minimum(mean, rearrange(highest, "b -> b 1 1 1"))


def diffedit_prompts(captions: Sequence[str], subject: Subject) -> list[list[str]]:
    """The captions without the token, and again with each of the other nouns."""
    nouns = subject.class_noun, *other_nouns(subject)
    return [[_with_noun(caption, subject, noun) for caption in captions] for noun in nouns]


def diffedit_evaluations(subject: Subject) -> int:
    """Network evaluations per row of `diffedit_map`."""
    return _NOISE_SAMPLES * len(_NOISE_LEVELS) * (1 + len(other_nouns(subject)))


def other_nouns(subject: Subject) -> list[str]:
    """The nouns that replace the class noun, one after the other; one that is part of the class noun is left out."""
    return [noun for noun in _OTHER_NOUNS if noun not in subject.class_noun.lower().split()]


def _with_noun(caption: str, subject: Subject, noun: str) -> str:
    """The caption with "a {noun}" in place of the subject, without the token."""
    own = rf"(?:\ban?\s+)?(?:\b{re.escape(subject.token)}\s+)?\b{re.escape(subject.class_noun)}\b"
    return re.sub(own, f"a {noun}", caption, flags=re.IGNORECASE)
