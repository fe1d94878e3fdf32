"""NIMA, non-rigid editing via identity-aware mask blend: LIPE, section 3.3 and figure 3.

https://arxiv.org/abs/2406.17236. The subject moves as the target prompt says; what neither the subject's old
nor its new silhouette covers stays the source's.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from itertools import pairwise, product
from typing import Any

import torch
from PIL import Image

from lipe_core import locate, outline, sdxl
from lipe_core import mask as masks
from lipe_core.adapter import use_adapter
from lipe_core.blend import blend, composite
from lipe_core.branch import Branch, attending, encode_prompts
from lipe_core.ddim import OnStep, Trajectory, ddim_step, invert, no_progress, unit_noise
from lipe_core.editor import Clock, Edit, EditRequest, InvalidRequest
from lipe_core.nima_config import NimaConfig
from lipe_core.pixels import to_grey, to_mask, to_pixels
from lipe_core.prior import Prior
from lipe_core.schedule import NoiseSchedule
from lipe_core.sdxl import BaseModel, Size
from lipe_core.shapes import Latents, Mask, PixelMask, Timesteps


def edit(
    model: BaseModel,
    request: EditRequest,
    config: NimaConfig = NimaConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt and seed, prompts outermost; all share one inversion and one batch.

    A picture of a size that the network was not trained for is edited at its native size and brought back;
    the source's pixels outside the mask stay untouched all the same. `on_step` counts the inversion's steps
    and the edit's together, and may raise: the model is left as it was.
    """
    if len(request.seeds) > 1 and config.renoise == 0:
        raise InvalidRequest("without renoise all seeds give one picture: give one seed, or set renoise")
    rows = list(product(request.target_prompts, request.seeds))
    prompts, seeds = zip(*rows, strict=True)
    picture = request.image.convert("RGB")
    size = sdxl.working_size(model, (picture.height, picture.width))
    resized = _resized(picture, size)
    source_prompt = encode_prompts(model, [request.source_prompt], request.subject, size)
    target_prompts = encode_prompts(model, prompts, request.subject, size)
    timesteps = model.schedule.timesteps(config.steps)[: 1 + round(config.strength * config.steps)]
    steps, clock = len(timesteps) - 1, Clock(model.device)
    watch = partial(attending, model, attention_tokens=config.attention_tokens, refine=config.refine)

    with clock.stage("encoding"):
        x_0 = sdxl.encode_image(model, [resized])
        found = None
        if config.source_map == "class" and request.mask is None:
            found = locate.class_map(model, x_0, [request.source_prompt], request.subject)
    with use_adapter(model, prior) if prior else nullcontext() as untuned:
        with clock.stage("inverting"), watch(source_prompt, config.source_guidance_scale) as source:
            trajectory, seen = invert_source(
                source, model.schedule, x_0, timesteps, config, lambda step, _: on_step(step, 2 * steps)
            )
            source_map = seen if found is None else found
            silhouette = find_silhouette(source_map, resized, request.mask, (picture.height, picture.width), config)
            source_mask = find_source_mask(silhouette, source_map, request.mask, config)
        with (
            clock.stage("editing"),
            watch(
                target_prompts, config.guidance_scale, untuned=untuned, guide_from_base=config.guide_from_base
            ) as target,
        ):
            source_mask = source_mask.expand(len(rows), -1, -1, -1)
            x_T = renoised(trajectory, source_mask, seeds, config.renoise)
            x_0, edit_mask = edit_latents(
                target, model.schedule, trajectory, x_T, source_mask, config, partial(sdxl.decode, model),
                lambda step, _: on_step(steps + step, 2 * steps),
            )  # fmt: skip
    with clock.stage("decoding"):
        painted = sdxl.decode(model, x_0)
    locating = 0 if found is None else locate.EVALUATIONS
    evaluations = locating + source.tally.evaluations + target.tally.evaluations // len(rows)
    parameters = _parameters(model, request, config, size)
    return [
        _finish(request, row, config, image, silhouette, changed, clock.timings, evaluations, parameters)
        for row, image, changed in zip(rows, painted, edit_mask[:, None], strict=True)
    ]


def invert_source(
    branch: Branch,
    schedule: NoiseSchedule,
    x_0: Latents,
    timesteps: Timesteps,
    config: NimaConfig,
    on_step: OnStep,
) -> tuple[Trajectory, Mask]:
    """Step 1: the source's trajectory, and the mean attention map of the window's noise levels."""
    low, high = (edge * schedule.levels for edge in config.map_window)
    maps: dict[int, Mask] = {}

    def watched(x_t: Latents, t: int) -> Latents:
        eps = branch.denoise(x_t, t)
        maps[t] = masks.resize(branch.pop_map(), (x_0.shape[2], x_0.shape[3]))
        return eps

    trajectory = invert(watched, schedule, x_0, timesteps, refinements=config.inversion_refinements, on_step=on_step)
    wanted = [seen for t, seen in maps.items() if low <= t <= high] or list(maps.values())
    return trajectory, torch.stack(wanted).mean(dim=0)


def edit_latents(
    branch: Branch,
    schedule: NoiseSchedule,
    trajectory: Trajectory,
    x_T: Latents,
    source_mask: Mask,
    config: NimaConfig,
    decode: Callable[[Latents], list[Image.Image]],
    on_step: OnStep,
) -> tuple[Latents, Mask]:
    """Steps 2 and 3: denoise x_T towards the target prompts while the background follows the trajectory.

    Returns the clean latents and the last edit mask. The running mean of the target's maps starts from the
    source mask, because the first, noisiest maps are diffuse.
    """
    x_t, edit_mask, seen = x_T, source_mask, source_mask
    grid = trajectory.timesteps.tolist()
    steps = len(grid) - 1
    looks = {math.ceil(look * steps) for look in config.looks}
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        progress = step / steps
        eps = (branch.denoise if progress <= config.prior_stop else branch.denoise_untuned)(x_t, t)
        target_map = masks.stretch(masks.resize(branch.pop_map(), (x_t.shape[2], x_t.shape[3])))
        seen = config.map_momentum * seen + (1 - config.map_momentum) * target_map
        if config.mask_mode == "union" and step in looks:
            x_0 = ddim_step(schedule, x_t, eps, t, 0)
            edit_mask = masks.union(source_mask, find_target_mask(seen, decode(x_0), config))
        elif config.mask_mode == "union" and step < min(looks, default=steps + 1):
            target_mask = masks.subject_mask(seen, threshold=config.threshold, dilation=config.dilation)
            edit_mask = masks.union(source_mask, target_mask)
        x_t = ddim_step(schedule, x_t, eps, t, s)
        if config.blend_start <= progress <= config.blend_stop:
            x_t = blend(x_t, trajectory.at(s).expand_as(x_t), edit_mask)
        on_step(step, steps)
    return x_t, edit_mask


def find_silhouette(
    source_map: Mask, picture: Image.Image, user_mask: Image.Image | None, size: Size, config: NimaConfig
) -> PixelMask:
    """Where the subject is in the source, to the pixel and not grown: the mask that a user is shown.

    It is found in the picture as the network sees it, which may be far smaller than `size`, the upload's own.
    """
    if user_mask is not None:
        return to_mask(user_mask)
    guide = to_pixels([picture]).to(source_map)
    found = outline.silhouette(source_map, guide, threshold=config.threshold, snap=config.snap)
    return (masks.resize(found, size) > 0.5).to(found)


def find_source_mask(
    silhouette: PixelMask, source_map: Mask, user_mask: Image.Image | None, config: NimaConfig
) -> Mask:
    """Which latents the subject's old place covers. The user's own mask wins; a cell that it touches may change."""
    if config.mask_mode == "none":
        return torch.ones_like(source_map)
    size = (source_map.shape[2], source_map.shape[3])
    if user_mask is not None:
        return outline.cells(silhouette, size, 0.0).to(source_map)
    return masks.dilate(outline.cells(silhouette, size, config.coverage), config.dilation)


def find_target_mask(maps: Mask, pictures: Sequence[Image.Image], config: NimaConfig) -> Mask:
    """Which latents the subject's new place covers, in pictures of the edit so far."""
    found = outline.silhouette(maps, to_pixels(pictures).to(maps), threshold=config.threshold, snap=config.snap)
    return masks.dilate(outline.cells(found, (maps.shape[2], maps.shape[3]), config.coverage), config.dilation)


def renoised(trajectory: Trajectory, source_mask: Mask, seeds: Sequence[int], amount: float) -> Latents:
    """The trajectory's noisy end, one row for each seed, inside the mask partly the seed's own noise.

    Variances add up: sqrt(1 - a) old + sqrt(a) new has the old one's deviation where both are independent. What
    the noisiest level still shows of the picture goes with the noise, or it would bring the old silhouette back.
    """
    x_T = trajectory.x_T
    fresh = unit_noise(seeds, (x_T.shape[1], x_T.shape[2], x_T.shape[3])).to(x_T)
    share = amount * source_mask
    return (1 - share).sqrt() * x_T + share.sqrt() * fresh


def _finish(
    request: EditRequest,
    row: tuple[str, int],
    config: NimaConfig,
    painted: Image.Image,
    silhouette: PixelMask,
    edit_mask: Mask,
    timings: dict[str, float],
    evaluations: int,
    parameters: dict[str, Any],
) -> Edit:
    """Step 4: back to the picture's own size, and its own pixels back around the edit."""
    picture = request.image.convert("RGB")
    size = (picture.height, picture.width)
    painted = _resized(painted, size)
    changed = to_grey(masks.soft_pixels(edit_mask, size, config.feather))
    return Edit(
        image=composite(painted, picture, changed) if config.composite else painted,
        target_prompt=row[0],
        seed=row[1],
        source_mask=to_grey(silhouette),
        edit_mask=changed,
        uncomposited=painted,
        timings=dict(timings),
        evaluations=evaluations,
        parameters=parameters | {"target_prompt": row[0], "seed": row[1]},
    )


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
