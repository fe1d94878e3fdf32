"""Subject localization: the base model's attention maps, and silhouettes made from maps."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from einops import rearrange

from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.backbone import BaseModel, PromptCache
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.masks import mask_ops, segmentation
from lipe_core.masks.diffedit_map import ROWS_AT_ONCE, diffedit_evaluations, diffedit_map, diffedit_prompts
from lipe_core.masks.recording import attention_maps, encode_prompts
from lipe_core.masks.segmenter import Segmenter
from lipe_core.memory import in_chunks
from lipe_core.shapes import Latents, Mask, PixelMask, Pixels, Size
from lipe_core.subject import Subject

_NOISE_LEVELS = (0.05, 0.25, 0.45, 0.65, 0.85)
"""Fractions of the schedule: fine levels find the outline, coarse levels fill it."""

_REFINE = 3


@dataclass(frozen=True)
class SubjectFinder:
    """Finds one subject's silhouette in images. `base_weights` disables a prior that is in use: training blurs maps.

    A `segmenter` has the last word on outlines. `cache` has the base model's prompts.
    """

    model: BaseModel
    subject: Subject
    base_weights: BaseWeights | None = None
    segmenter: Segmenter | None = None
    cache: PromptCache | None = None

    def silhouette(self, images: Pixels, x_0: Latents, captions: Sequence[str]) -> PixelMask:
        """The subject in each image, to the pixel; zeros and ones.

        `x_0` are the images' latents. Each caption must name the class noun.
        """
        found = segmentation.silhouette(self.base_map(x_0, captions), images)
        return self.segmenter.refine(found, images) if self.segmenter else found

    def base_map(self, x_0: Latents, captions: Sequence[str]) -> Mask:
        """The union of the base model's `class_map` and `diffedit_map` for each row, of the latents' size.

        Attention finds a subject's typical parts; the difference also finds what the subject wears or carries.
        """
        cache = self.read_ahead(captions, size=self.model.image_size(x_0))
        with self._without_prior():
            maps = (make(self.model, x_0, captions, self.subject, cache) for make in (class_map, diffedit_map))
            return mask_ops.union(*(mask_ops.min_max_normalize(m) for m in maps))

    def read_ahead(self, captions: Sequence[str], *, size: Size) -> PromptCache:
        """The cache with all prompts that a search with these captions reads."""
        cache = self.cache or PromptCache(self.model)
        with self._without_prior():
            cache.read_ahead([captions, *diffedit_prompts(captions, self.subject)], size=size)
        return cache

    @property
    def evaluations(self) -> int:
        """Network evaluations for each image."""
        return len(_NOISE_LEVELS) + diffedit_evaluations(self.subject)

    def _without_prior(self) -> AbstractContextManager[None]:
        return self.base_weights() if self.base_weights else nullcontext()


def class_map(
    model: BaseModel, x_0: Latents, captions: Sequence[str], subject: Subject, cache: PromptCache | None = None
) -> Mask:
    """The network's mean attention to the class noun at a few noise levels; raw maps of the latents' size.

    Each caption must name the class noun. The base model's map needs no inversion, and no training has blurred it;
    but it cannot tell two subjects of one class apart.
    """
    _, _, rows, columns = x_0.shape
    size = model.image_size(x_0)
    eps = unit_noise([0], model.latent_shape(size)).to(x_0).expand_as(x_0)  # so that a row's map is the same alone
    prompts = encode_prompts(model, captions, subject, size, names_token=False, negative_prompt=None, cache=cache)
    steps = [round(level * model.schedule.levels) for level in _NOISE_LEVELS]
    t = torch.tensor(steps).repeat_interleave(len(x_0)).to(x_0.device)
    x_t = model.schedule.add_noise(x_0.repeat(len(steps), 1, 1, 1), eps.repeat(len(steps), 1, 1, 1), t)
    prompt = torch.arange(len(x_0)).repeat(len(steps))

    def some_maps(part: range) -> Mask:
        rows = slice(part.start, part.stop)
        return attention_maps(model, prompts.select(prompt[rows]), x_t[rows], t[rows], refine=_REFINE)

    maps = mask_ops.resize(torch.cat(in_chunks(len(t), some_maps, at_most=ROWS_AT_ONCE)), (rows, columns))
    return rearrange(maps, "(level b) 1 h w -> level b 1 h w", level=len(steps)).mean(dim=0)
