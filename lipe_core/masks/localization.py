"""Where the subject is: in the source, and in an edit so far."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch

from lipe_core import sdxl
from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.diffusion.ddim import unit_noise
from lipe_core.masks import mask_ops, segmentation
from lipe_core.masks.diffedit_map import diffedit_evaluations, diffedit_map
from lipe_core.masks.recording import encode_prompts, recording_denoiser
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.request import EditRequest, OnPreview
from lipe_core.pixels import to_images, to_mask
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask, PixelMask, Pixels
from lipe_core.subject import Subject

_NOISE_LEVELS = (0.05, 0.25, 0.45, 0.65, 0.85)
"""Fine ones draw the outline, coarse ones fill it."""

_REFINE = 3


def source_silhouette(
    model: BaseModel,
    x_0: Latents,
    source: Pixels,
    seen: Mask | None,
    request: EditRequest,
    config: NimaConfig,
    base_weights: BaseWeights | None,
) -> PixelMask:
    """The subject's old place, to the pixel of the picture as the network sees it, which may be far smaller than the
    upload. `seen` is the inversion's own map, None for the base model's; the user's mask wins."""
    if request.mask is not None:
        return (mask_ops.resize(to_mask(request.mask), (source.shape[2], source.shape[3])) > 0).to(source)
    if seen is None:
        seen = _base_map(model, x_0, [request.source_prompt], request.subject, config, base_weights)
    return segmentation.silhouette(
        seen, source, threshold=config.threshold, snap=config.snap, grabcut_rounds=config.grabcut_rounds
    )


def source_mask(silhouette: PixelMask, size: tuple[int, int], request: EditRequest, config: NimaConfig) -> Mask:
    """Which latents, (height, width) of them, show the subject in its old place; all that the user's mask touches."""
    if config.mask_mode == "none":
        return silhouette.new_ones(1, 1, *size)
    if request.mask is not None:
        return segmentation.cells(silhouette, size, 0.0)
    return mask_ops.dilate(segmentation.cells(silhouette, size, config.coverage), config.dilation)


def silhouettes(
    model: BaseModel,
    prompts: Sequence[str],
    subject: Subject,
    config: NimaConfig,
    base_weights: BaseWeights | None,
    on_preview: OnPreview,
    x_0: Latents,
    seen: Mask | None,
) -> PixelMask:
    """The subject's place in each row of an edit so far, grown; `seen` are the edit's own maps, None for the base
    model's."""
    with torch.no_grad():
        guide = sdxl.decode_pixels(model, x_0).clamp(-1, 1)
    on_preview(to_images(guide))
    if seen is None:
        seen = _base_map(model, x_0, prompts, subject, config, base_weights)
    found = segmentation.silhouette(seen, guide, threshold=config.threshold, snap=config.snap)
    return mask_ops.dilate(found, config.dilation)


def _base_map(
    model: BaseModel,
    x_0: Latents,
    captions: Sequence[str],
    subject: Subject,
    config: NimaConfig,
    base_weights: BaseWeights | None,
) -> Mask:
    """The base model's map that the config asks for."""
    with base_weights() if base_weights else nullcontext():
        of_class = class_map(model, x_0, captions, subject)
        if config.subject_map == "class":
            return of_class
        of_contrast = diffedit_map(model, x_0, captions, subject, config.contrast_nouns)
    return torch.maximum(mask_ops.min_max_normalize(of_class), mask_ops.min_max_normalize(of_contrast))


def evaluations(config: NimaConfig, subject: Subject) -> int:
    """Of the network, for each row of a map."""
    if config.subject_map == "identity":
        return 0
    return len(_NOISE_LEVELS) + (
        diffedit_evaluations(subject, config.contrast_nouns) if config.subject_map == "contrast" else 0
    )


def class_map(model: BaseModel, x_0: Latents, captions: Sequence[str], subject: Subject) -> Mask:
    """Where the network as it is sees a picture's subject: its mean attention to the class noun at a few noise levels.

    The base model's needs no inversion, and no training has blurred it; but two subjects of one class look the same
    to it. Each caption must name the class noun. The maps are of the latents' size and raw, as `attention.py` gives
    them.
    """
    _, _, rows, columns = x_0.shape
    size = (rows * model.factor, columns * model.factor)
    eps = unit_noise(range(len(x_0)), model.latent_shape(size)).to(x_0)
    prompts = encode_prompts(model, captions, subject, size, personal=False)
    seen = []
    with recording_denoiser(model, prompts, 1.0, attention_tokens=256, refine=_REFINE) as branch:
        for level in _NOISE_LEVELS:
            t = round(level * model.schedule.levels)
            x_t = model.schedule.add_noise(x_0, eps, torch.full((len(x_0),), t, device=x_0.device))
            seen.append(mask_ops.resize(branch.attend(x_t, t)[1], (rows, columns)))
    return torch.stack(seen).mean(dim=0)
