"""Subject localization: the base model's attention maps, and silhouettes made from maps."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.masks import mask_ops, segmentation
from lipe_core.masks.diffedit_map import diffedit_evaluations, diffedit_map
from lipe_core.masks.mask_ops import Threshold
from lipe_core.masks.recording import encode_prompts, recording_denoiser
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask, PixelMask, Pixels
from lipe_core.subject import Subject

_NOISE_LEVELS = (0.05, 0.25, 0.45, 0.65, 0.85)
"""Fractions of the schedule: fine levels find the outline, coarse levels fill it."""

_REFINE = 3


@dataclass(frozen=True)
class SubjectFinder:
    """Finds one subject's silhouette in images.

    `threshold` and `snap` are those of `segmentation.silhouette`. With `contrast_nouns` the base model's map is the
    union of `class_map` and `diffedit_map`, otherwise `class_map` alone. `base_weights` disables a prior that is in
    use.
    """

    model: BaseModel
    subject: Subject
    threshold: Threshold
    snap: float
    contrast_nouns: tuple[str, ...] = ()
    base_weights: BaseWeights | None = None

    def silhouette(
        self,
        images: Pixels,
        x_0: Latents,
        captions: Sequence[str],
        recorded: Mask | None = None,
        *,
        grabcut_rounds: int = 0,
    ) -> PixelMask:
        """The subject in each image, to the pixel; zeros and ones.

        `x_0` are the images' latents. `recorded` are attention maps that an inversion or an edit recorded; without
        them, `base_map` makes maps from the latents and captions.
        """
        maps = self.base_map(x_0, captions) if recorded is None else recorded
        return segmentation.silhouette(
            maps, images, threshold=self.threshold, snap=self.snap, grabcut_rounds=grabcut_rounds
        )

    def base_map(self, x_0: Latents, captions: Sequence[str]) -> Mask:
        """The base model's map of each row, of the latents' size. Each caption must name the class noun."""
        with self.base_weights() if self.base_weights else nullcontext():
            of_class = class_map(self.model, x_0, captions, self.subject)
            if not self.contrast_nouns:
                return of_class
            of_contrast = diffedit_map(self.model, x_0, captions, self.subject, self.contrast_nouns)
        return mask_ops.union(mask_ops.min_max_normalize(of_class), mask_ops.min_max_normalize(of_contrast))

    @property
    def base_map_evaluations(self) -> int:
        """Network evaluations per row of `base_map`."""
        contrast = diffedit_evaluations(self.subject, self.contrast_nouns) if self.contrast_nouns else 0
        return len(_NOISE_LEVELS) + contrast


def class_map(model: BaseModel, x_0: Latents, captions: Sequence[str], subject: Subject) -> Mask:
    """The network's mean attention to the class noun at a few noise levels; raw maps of the latents' size.

    Each caption must name the class noun. The base model's map needs no inversion, and no training has blurred it;
    but it cannot tell two subjects of one class apart.
    """
    _, _, rows, columns = x_0.shape
    size = (rows * model.factor, columns * model.factor)
    eps = unit_noise(range(len(x_0)), model.latent_shape(size)).to(x_0)
    prompts = encode_prompts(model, captions, subject, size, names_token=False)
    maps = []
    with recording_denoiser(model, prompts, 1.0, attention_tokens=256, refine=_REFINE) as denoiser:
        for level in _NOISE_LEVELS:
            t = round(level * model.schedule.levels)
            x_t = model.schedule.add_noise(x_0, eps, torch.full((len(x_0),), t, device=x_0.device))
            maps.append(mask_ops.resize(denoiser.denoise_and_record(x_t, t)[1], (rows, columns)))
    return torch.stack(maps).mean(dim=0)
