"""NIMA, non-rigid editing via identity-aware mask blend: LIPE, section 3.3 and figure 3.

https://arxiv.org/abs/2406.17236. The subject moves as the target prompt says; what neither the subject's old
nor its new silhouette covers stays the source's.
"""

import math
from collections.abc import Callable, Set
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from PIL import Image

from lipe_core import sdxl
from lipe_core.adapters.lora import use_adapter
from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, Trajectory, invert, no_progress
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.errors import InvalidRequest
from lipe_core.masks import localization, mask_ops, segmentation
from lipe_core.masks.mask_ops import blend, composite
from lipe_core.masks.recording import Branch, encode_prompts, recording_denoiser
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.denoising import edit_latents, look_steps, renoised
from lipe_core.methods.nima.reconstruction import reconstruct_background
from lipe_core.methods.request import Edit, EditRequest, OnPreview, no_preview
from lipe_core.methods.session import Clock
from lipe_core.methods.source_features import SourceFeatures
from lipe_core.pixels import to_grey, to_pixels
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, Mask, PixelMask, Pixels, Size, Timesteps


def edit(
    model: BaseModel,
    request: EditRequest,
    config: NimaConfig = NimaConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
    on_preview: OnPreview = no_preview,
) -> list[Edit]:
    """One edit for each target prompt and seed, prompts outermost; all share one inversion and one batch.

    A picture of a size that the network was not trained for is edited at its native size and brought back;
    the source's pixels outside the mask stay untouched all the same. `on_step` counts the inversion's steps
    and the edit's together, and may raise: the model is left as it was. Restorations count no further, but it is
    called after each. `on_preview` gets the edits so far at each of the config's `looks`, of the size that the
    network works at.
    """
    if len(request.seeds) > 1 and config.renoise == 0:
        raise InvalidRequest("without renoise all seeds give one picture: give one seed, or set renoise")
    rows = list(product(request.target_prompts, request.seeds))
    prompts, seeds = zip(*rows, strict=True)
    picture = request.image.convert("RGB")
    size = sdxl.working_size(model, (picture.height, picture.width))
    resized = _resized(picture, size)
    pixels = to_pixels([resized]).to(model.device)
    negative = request.source_prompt if config.guide_from == "source" else ""
    timesteps = model.schedule.timesteps(config.steps)[: 1 + round(config.strength * config.steps)]
    steps, clock = len(timesteps) - 1, Clock(model.device)
    features = SourceFeatures(latest_attended(timesteps, config.source_attention_start))
    watch = partial(recording_denoiser, model, attention_tokens=config.attention_tokens, refine=config.refine)

    with clock.stage("encoding"):
        source_x_0 = sdxl.encode_image(model, [resized])
    with use_adapter(model, prior) if prior else nullcontext() as base_weights:
        source_prompt = encode_prompts(model, [request.source_prompt], request.subject, size)
        target_prompts = encode_prompts(model, prompts, request.subject, size, negative_prompt=negative)
        with (
            clock.stage("inverting"),
            watch(source_prompt, config.source_guidance_scale) as source,
            features.kept(model.unet),
        ):
            source = replace(source, denoise=features.at(source.denoise), attend=features.at(source.attend))
            trajectory, seen = invert_source(
                source, model.schedule, source_x_0, timesteps, config, lambda step, _: on_step(step, 2 * steps),
                watched=set() if request.mask is not None else watched_timesteps(timesteps, model.schedule, config),
            )  # fmt: skip
            silhouette = localization.source_silhouette(model, source_x_0, pixels, seen, request, config, base_weights)
            latent_size = (source_x_0.shape[2], source_x_0.shape[3])
            source_mask = localization.source_mask(silhouette, latent_size, request, config)
        with (
            clock.stage("editing"),
            features.read(model.unet),  # before maps are recorded, which are of the target alone
            watch(
                target_prompts,
                config.guidance_scale,
                base_weights=base_weights,
                guide_from_base=config.guide_from == "base",
            ) as target,
        ):
            silhouette, source_mask = (m.expand(len(rows), -1, -1, -1) for m in (silhouette, source_mask))
            x_T = renoised(trajectory, source_mask, seeds, config.renoise)
            target = replace(target, denoise=features.at(target.denoise), attend=features.at(target.attend))
            x_0, changed = edit_latents(
                target, model.schedule, trajectory, x_T, source_mask, silhouette, config,
                partial(localization.silhouettes, model, prompts, request.subject, config, base_weights, on_preview),
                lambda step, _: on_step(steps + step, 2 * steps),
            )  # fmt: skip
    with clock.stage("decoding"):
        x_0, changed = restored(
            model, x_0, changed, source_x_0.expand_as(x_0), pixels.expand(len(rows), -1, -1, -1), config,
            lambda: on_step(2 * steps, 2 * steps),
        )  # fmt: skip
        painted = sdxl.decode(model, x_0)
    located = (request.mask is None) + len(look_steps(config, steps))
    evaluations = (
        located * localization.evaluations(config, request.subject)
        + source.counter.evaluations
        + target.counter.evaluations // len(rows)
    )
    parameters = _parameters(model, request, config, size)
    return [
        _finish(request, row, config, image, old, new, clock.timings, evaluations, parameters)
        for row, image, old, new in zip(rows, painted, silhouette[:, None], changed[:, None], strict=True)
    ]


def invert_source(
    branch: Branch,
    schedule: NoiseSchedule,
    x_0: Latents,
    timesteps: Timesteps,
    config: NimaConfig,
    on_step: OnStep,
    *,
    watched: Set[int],
) -> tuple[Trajectory, Mask | None]:
    """Step 1: the source's trajectory, and the mean attention map of the watched timesteps, if there are any."""
    maps: dict[int, Mask] = {}

    def denoise(x_t: Latents, t: int) -> Latents:
        if t not in watched:
            return branch.denoise(x_t, t)
        eps, seen = branch.attend(x_t, t)
        maps[t] = mask_ops.resize(seen, (x_0.shape[2], x_0.shape[3]))
        return eps

    trajectory = invert(denoise, schedule, x_0, timesteps, refinements=config.inversion_refinements, on_step=on_step)
    return trajectory, torch.stack(list(maps.values())).mean(dim=0) if maps else None


def watched_timesteps(timesteps: Timesteps, schedule: NoiseSchedule, config: NimaConfig) -> set[int]:
    """Those of the inversion whose maps make the source's silhouette: the window's, or all if it holds none."""
    if config.subject_map != "identity":
        return set()
    low, high = (edge * schedule.levels for edge in config.map_window)
    passed = set(timesteps[:-1].tolist())  # the noisiest end is arrived at, not left
    return {t for t in passed if low <= t <= high} or passed


def restored(
    model: BaseModel,
    x_0: Latents,
    changed: PixelMask,
    source_x_0: Latents,
    source: Pixels,
    config: NimaConfig,
    on_step: Callable[[], None],
) -> tuple[Latents, PixelMask]:
    """What was painted and hardly differs from the source is the source's, and the background up to the silhouettes'
    edge is as the source shows it: the clean latents, and to the pixel what changed."""
    if config.mask_mode == "none" or not (config.tolerance or config.reconstruction_steps):
        return x_0, changed
    with torch.no_grad():
        shown = sdxl.decode_pixels(model, x_0)
    changed = changed * segmentation.differing(shown, source, tolerance=config.tolerance)
    blended = blend(x_0, source_x_0, segmentation.cells(changed, (x_0.shape[2], x_0.shape[3]), 0.0))
    if not config.reconstruction_steps:
        return blended, changed
    goal = torch.where(changed > 0, shown, source)
    encode, decode = partial(sdxl.encode_pixels, model), partial(sdxl.decode_pixels, model)
    return reconstruct_background(
        encode, decode, blended, goal, steps=config.reconstruction_steps, on_step=on_step
    ), changed


def latest_attended(timesteps: Timesteps, start: float) -> int:
    """The noisiest timestep at which the edit looks up in the source, which it does behind a progress; -1 = never."""
    steps = len(timesteps) - 1
    left = steps - math.floor(start * steps)
    return int(timesteps[left]) if left else -1


def _finish(
    request: EditRequest,
    row: tuple[str, int],
    config: NimaConfig,
    painted: Image.Image,
    silhouette: PixelMask,
    changed: PixelMask,
    timings: dict[str, float],
    evaluations: int,
    parameters: dict[str, Any],
) -> Edit:
    """Step 4: back to the picture's own size, and its own pixels back around the edit."""
    picture = request.image.convert("RGB")
    size = (picture.height, picture.width)
    painted = _resized(painted, size)
    edit_mask = to_grey(mask_ops.soft_pixels(changed, size, config.feather))
    return Edit(
        image=composite(painted, picture, edit_mask) if config.composite else painted,
        target_prompt=row[0],
        seed=row[1],
        source_mask=_shown(request.mask, silhouette, size),
        edit_mask=edit_mask,
        uncomposited=painted,
        timings=dict(timings),
        evaluations=evaluations,
        parameters=parameters | {"target_prompt": row[0], "seed": row[1]},
    )


def _shown(user_mask: Image.Image | None, silhouette: PixelMask, size: Size) -> Image.Image:
    """The source mask at the upload's size: the user's own as it was given, or what was found, cut anew."""
    if user_mask is not None:
        return user_mask.convert("L")
    return to_grey((mask_ops.resize(silhouette, size) > 0.5).float())


def _parameters(model: BaseModel, request: EditRequest, config: NimaConfig, size: Size) -> dict[str, Any]:
    return asdict(config) | {
        "checkpoint": model.checkpoint,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "source_prompt": request.source_prompt,
        "height": size[0],
        "width": size[1],
    }


def _resized(image: Image.Image, size: Size) -> Image.Image:
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)
