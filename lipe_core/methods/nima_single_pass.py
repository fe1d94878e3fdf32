"""The paper's NIMA: one pass, whose mask is computed again at every step. LIPE, section 3.3 and figure 3.

https://arxiv.org/abs/2406.17236. Both masks are attention to the subject's token and class noun in the network with
the prior: M_s is that of the inversion, M_e that of the denoising step. After every step the latents outside their
union follow the source's trajectory. LIPE's own method is `nima`; the difference of the two is the gain of its passes.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval

from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, ddim_step, no_progress
from lipe_core.diffusion.schedule import Schedule
from lipe_core.masks import mask_ops
from lipe_core.masks.recording import RecordingDenoiser, recording_denoiser
from lipe_core.methods.progress import counted_steps
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.settings import GuidanceScale, Steps, check_settings
from lipe_core.shapes import AttentionMap, Latents, Mask


@dataclass(frozen=True)
class NimaSinglePassConfig:
    """Settings of the paper's single pass. The paper publishes no values."""

    seeded: ClassVar[bool] = False

    steps: Steps = 50
    """Denoising steps; the inversion takes as many. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 5.0
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    dilation: Annotated[float, Interval(ge=0, le=0.5)] = 0.06
    """Radius by which the masks grow, as a fraction of the shorter side. Raise it if edges of the subject are cut
    off."""

    feather: Annotated[float, Interval(ge=0, le=0.5)] = 0.03
    """Width of the soft edge of the final composite, as a fraction of the shorter side. Raise it if the edge is
    visible."""

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
    timesteps, on_step = model.timesteps(config.steps, session.size), counted_steps(on_step, 2 * config.steps)
    recording = partial(recording_denoiser, model, attention_tokens=256, refine=2)
    with session.with_prior():
        targets, maps = session.encode(session.target_prompts), list[Mask]()
        with session.clock.stage("inverting"), recording(session.encode([session.source_prompt]), 1.0) as inverting:
            denoise = _denoise_and_keep(inverting, maps)
            trajectory = model.invert(denoise, session.x_0(), timesteps, on_step=on_step)
        m_s = session.user_mask()
        if m_s is None:
            m_s = session.for_rows(subject_mask(torch.stack(maps).mean(dim=0), targets.latent_size, config))
        with session.clock.stage("editing"), recording(targets, config.guidance_scale) as editing:
            x_0, mask = denoise_blended(editing, model.schedule, trajectory, m_s, config, on_step)
    evaluations = inverting.counter.evaluations + editing.counter.evaluations // len(session.rows)
    masks = {"source_masks": session.mask_images(m_s), "edit_masks": session.mask_images(mask, config.feather)}
    return session.edits(session.decode(x_0), config, evaluations, **masks, composite=True)


def subject_mask(attention: AttentionMap, size: tuple[int, int], config: NimaSinglePassConfig) -> Mask:
    """The latents, (height, width) of them, to which attention maps assign the subject."""
    return mask_ops.subject_mask(mask_ops.resize(attention, size), threshold="otsu", dilation=config.dilation)


def denoise_blended(
    denoiser: RecordingDenoiser,
    schedule: Schedule,
    trajectory: Trajectory,
    m_s: Mask,
    config: NimaSinglePassConfig,
    on_step: OnStep,
) -> tuple[Latents, Mask]:
    """Denoise the trajectory's noisy end inside the masks. Returns the clean latents and the last mask."""
    grid = trajectory.timesteps.tolist()
    x_t, mask = trajectory.x_T.expand(len(m_s), -1, -1, -1), m_s
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        eps, attention = denoiser.denoise_and_record(x_t, t)
        mask = mask_ops.union(m_s, subject_mask(attention, (m_s.shape[2], m_s.shape[3]), config))
        x_t = ddim_step(schedule, x_t, eps, t, s)
        x_t = mask_ops.blend(x_t, trajectory.at(s).expand_as(x_t), mask)
        on_step(step, len(grid) - 1)
    return x_t, mask


def _denoise_and_keep(denoiser: RecordingDenoiser, maps: list[Mask]) -> Denoiser:
    """The denoiser; it appends the normalized map of each call to `maps`."""

    def denoise(x_t: Latents, t: int) -> Latents:
        eps, attention = denoiser.denoise_and_record(x_t, t)
        maps.append(mask_ops.min_max_normalize(attention))
        return eps

    return denoise
