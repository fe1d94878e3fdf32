"""The paper's NIMA: one pass, whose mask is made anew at every step. LIPE, section 3.3 and figure 3.

https://arxiv.org/abs/2406.17236. Both masks are attention to the subject's token and class noun in the network with
the prior: M_s is that of the inversion, M_e that of the denoising step. At every step the latents outside their union
follow the source's trajectory. LIPE's own method is `nima`; this one shows what its first pass is worth.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Interval

from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, ddim_step, invert, no_progress
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.masks import mask_ops
from lipe_core.masks.recording import Prompts, RecordingDenoiser, recording_denoiser
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession, counted_steps
from lipe_core.sdxl import BaseModel
from lipe_core.settings import GuidanceScale, Steps, check_settings
from lipe_core.shapes import Latents, Mask

_TOKENS, _REFINE = 256, 2


@dataclass(frozen=True)
class NimaSinglePassConfig:
    """Settings of the paper's single pass. The paper publishes no values."""

    steps: Steps = 50
    """Denoising steps; the inversion takes as many."""

    guidance_scale: GuidanceScale = 5.0
    """Strength of classifier-free guidance towards the target prompt; 1 means none."""

    dilation: Annotated[float, Interval(ge=0, le=0.5)] = 0.06
    """Radius by which the masks grow, as a fraction of the shorter side."""

    feather: Annotated[float, Interval(ge=0, le=0.5)] = 0.03
    """Width of the soft edge of the final composite, as a fraction of the shorter side."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: NimaSinglePassConfig = NimaSinglePassConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt; all share one inversion. The request's mask takes the place of M_s."""
    session = EditSession.of(model, request, prior, seeded=False, keeps_token=True)
    timesteps = model.schedule.timesteps(config.steps)
    on_step = counted_steps(on_step, 2 * config.steps)
    with session.with_prior():
        source, targets = session.encode([session.source_prompt]), session.encode(session.target_prompts)
        with session.clock.stage("inverting"), _recording(model, source, 1.0) as denoiser:
            maps: list[Mask] = []
            trajectory = invert(_kept(denoiser, maps), model.schedule, session.x_0(), timesteps, on_step=on_step)
            evaluations = denoiser.counter.evaluations
        attention = torch.stack([mask_ops.min_max_normalize(m) for m in maps]).mean(dim=0)
        user_mask = session.user_mask()
        of_source = session.for_rows(subject_mask(attention, trajectory, config)) if user_mask is None else user_mask
        with session.clock.stage("editing"), _recording(model, targets, config.guidance_scale) as denoiser:
            x_0, mask = denoise_blended(denoiser, model.schedule, trajectory, of_source, config, on_step)
            evaluations += denoiser.counter.evaluations // len(session.rows)
    source_masks, edit_masks = session.mask_images(of_source), session.mask_images(mask, config.feather)
    return session.edits(
        session.decode(x_0), config, evaluations, source_masks=source_masks, edit_masks=edit_masks, composite=True
    )


def subject_mask(attention: Mask, trajectory: Trajectory, config: NimaSinglePassConfig) -> Mask:
    """The latents to which attention maps assign the subject."""
    _, _, rows, columns = trajectory.x_0.shape
    resized = mask_ops.resize(attention, (rows, columns))
    return mask_ops.subject_mask(resized, threshold="otsu", dilation=config.dilation)


def denoise_blended(
    denoiser: RecordingDenoiser,
    schedule: NoiseSchedule,
    trajectory: Trajectory,
    source_mask: Mask,
    config: NimaSinglePassConfig,
    on_step: OnStep,
) -> tuple[Latents, Mask]:
    """Denoise the trajectory's noisy end inside the masks. Returns the clean latents and the last mask."""
    grid = trajectory.timesteps.tolist()
    x_t, mask = trajectory.x_T.expand(len(source_mask), -1, -1, -1), source_mask
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        eps, attention = denoiser.denoise_and_record(x_t, t)
        mask = mask_ops.union(source_mask, subject_mask(attention, trajectory, config))
        x_t = ddim_step(schedule, x_t, eps, t, s)
        x_t = mask_ops.blend(x_t, trajectory.at(s).expand_as(x_t), mask)
        on_step(step, len(grid) - 1)
    return x_t, mask


def _recording(model: BaseModel, prompts: Prompts, guidance_scale: float) -> AbstractContextManager[RecordingDenoiser]:
    return recording_denoiser(model, prompts, guidance_scale, attention_tokens=_TOKENS, refine=_REFINE)


def _kept(denoiser: RecordingDenoiser, maps: list[Mask]) -> Denoiser:
    """The denoiser, whose maps are appended to `maps`."""

    def denoise(x_t: Latents, t: int) -> Latents:
        eps, attention = denoiser.denoise_and_record(x_t, t)
        maps.append(attention)
        return eps

    return denoise
