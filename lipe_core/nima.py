"""NIMA, non-rigid editing via identity-aware mask blend: LIPE, section 3.3 and figure 3.

https://arxiv.org/abs/2406.17236. The subject moves as the target prompt says; what neither the subject's old
nor its new silhouette covers stays the source's.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise, product
from typing import Any, Literal

import torch
from PIL import Image

from lipe_core import locate, sdxl
from lipe_core import mask as masks
from lipe_core.adapter import use_adapter
from lipe_core.blend import blend, composite
from lipe_core.branch import Branch, attending, encode_prompts
from lipe_core.ddim import OnStep, Trajectory, ddim_step, invert, no_progress, unit_noise
from lipe_core.editor import Clock, Edit, EditRequest, InvalidRequest
from lipe_core.pixels import to_grey, to_mask
from lipe_core.prior import Prior
from lipe_core.schedule import NoiseSchedule
from lipe_core.sdxl import BaseModel, Size
from lipe_core.shapes import Latents, Mask, PixelMask, Timesteps

MaskMode = Literal["union", "source", "none"]
"""Blend with the source and the target silhouette (the paper), with the source's alone, or not at all."""

SourceMap = Literal["identity", "class"]
"""Whose attention finds the subject in the source: the tuned network's, to token and noun, while it inverts (the
paper), or the base model's, to the noun alone: steadier, but blind to which of two dogs is meant."""


@dataclass(frozen=True)
class NimaConfig:
    """Settings of an edit. None of these values is the paper's, which published none.

    `guide_from_base`: guidance starts from the base model's unconditional answer, not the tuned one's, and so
    strengthens the identity, too. `strength`: how far the picture is noised, 1 = to the noisiest level. `renoise`:
    how much of that, inside the source mask, gives way to the seed's noise; 0 keeps the old pose's layout, 1 forgets
    it. `map_window`: the noise levels, as fractions of the schedule, whose maps make an identity `source_map`.
    `map_momentum`: how slowly the target's maps change its mask. `dilation` and `feather` are fractions of the
    picture's shorter side. The blend is on while the edit's progress, 0 to 1, is within `blend_start`
    and `blend_stop`.
    """

    steps: int = 30
    guidance_scale: float = 5.0
    source_guidance_scale: float = 1.0
    guide_from_base: bool = False
    strength: float = 1.0
    renoise: float = 0.0
    inversion_refinements: int = 0
    mask_mode: MaskMode = "union"
    threshold: masks.Threshold = "otsu"
    dilation: float = 0.06
    feather: float = 0.03
    source_map: SourceMap = "identity"
    map_window: tuple[float, float] = (0.0, 0.7)
    map_momentum: float = 0.8
    attention_tokens: int = 256
    refine: int = 2
    blend_start: float = 0.0
    blend_stop: float = 1.0
    composite: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1 or round(self.strength * self.steps) < 1:
            raise InvalidRequest(f"strength must be in (0, 1] and leave a step to do, got {self.strength}")
        for name in ("renoise", "map_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidRequest(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for low, high in (self.map_window, (self.blend_start, self.blend_stop)):
            if not 0 <= low <= high <= 1:
                raise InvalidRequest(f"a window must run upwards within [0, 1], got {low} to {high}")


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
    size = sdxl.working_size(model, (request.image.height, request.image.width))
    source_prompt = encode_prompts(model, [request.source_prompt], request.subject, size)
    target_prompts = encode_prompts(model, prompts, request.subject, size)
    timesteps = model.schedule.timesteps(config.steps)[: 1 + round(config.strength * config.steps)]
    steps, clock = len(timesteps) - 1, Clock(model.device)
    watch = partial(attending, model, attention_tokens=config.attention_tokens, refine=config.refine)

    with clock.stage("encoding"):
        x_0 = sdxl.encode_image(model, [_resized(request.image.convert("RGB"), size)])
        found = None
        if config.source_map == "class" and request.mask is None:
            found = locate.class_map(model, x_0, [request.source_prompt], request.subject)
    with use_adapter(model, prior) if prior else nullcontext() as untuned:
        with clock.stage("inverting"), watch(source_prompt, config.source_guidance_scale) as source:
            trajectory, seen = invert_source(
                source, model.schedule, x_0, timesteps, config, lambda step, _: on_step(step, 2 * steps)
            )
            source_map = seen if found is None else found
            source_mask = find_source_mask(source_map, request.mask, config)
            silhouette = find_silhouette(source_map, request.mask, (request.image.height, request.image.width), config)
        base = untuned if config.guide_from_base else None
        with clock.stage("editing"), watch(target_prompts, config.guidance_scale, untuned=base) as target:
            source_mask = source_mask.expand(len(rows), -1, -1, -1)
            x_T = renoised(trajectory, source_mask, seeds, config.renoise)
            x_0, edit_mask = edit_latents(
                target, model.schedule, trajectory, x_T, source_mask, config,
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
    on_step: OnStep,
) -> tuple[Latents, Mask]:
    """Steps 2 and 3: denoise x_T towards the target prompts while the background follows the trajectory.

    Returns the clean latents and the last edit mask. The running mean of the target's maps starts from the
    source mask, because the first, noisiest maps are diffuse.
    """
    x_t, edit_mask, seen = x_T, source_mask, source_mask
    grid = trajectory.timesteps.tolist()
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        x_t = ddim_step(schedule, x_t, branch.denoise(x_t, t), t, s)
        target_map = masks.stretch(masks.resize(branch.pop_map(), (x_t.shape[2], x_t.shape[3])))
        seen = config.map_momentum * seen + (1 - config.map_momentum) * target_map
        if config.mask_mode == "union":
            target_mask = masks.subject_mask(seen, threshold=config.threshold, dilation=config.dilation)
            edit_mask = masks.union(source_mask, target_mask)
        if config.blend_start <= step / (len(grid) - 1) <= config.blend_stop:
            x_t = blend(x_t, trajectory.at(s).expand_as(x_t), edit_mask)
        on_step(step, len(grid) - 1)
    return x_t, edit_mask


def find_source_mask(source_map: Mask, user_mask: Image.Image | None, config: NimaConfig) -> Mask:
    """Which latents the subject's old place covers. The user's own mask wins; a cell that it touches may change."""
    if config.mask_mode == "none":
        return torch.ones_like(source_map)
    if user_mask is not None:
        drawn = masks.resize(to_mask(user_mask), (source_map.shape[2], source_map.shape[3]))
        return (drawn > 0).to(source_map)
    return masks.subject_mask(source_map, threshold=config.threshold, dilation=config.dilation)


def find_silhouette(source_map: Mask, user_mask: Image.Image | None, size: Size, config: NimaConfig) -> PixelMask:
    """Where the subject is in the source, to the pixel and not grown: the mask that a user is shown."""
    if user_mask is not None:
        return to_mask(user_mask)
    return masks.subject_mask(masks.resize(source_map, size), threshold=config.threshold, dilation=0.0)


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
