"""Prompt-to-prompt with LocalBlend: attention maps of the source in the target (https://arxiv.org/abs/2208.01626).

`map_replacement` replaces the target's attention maps by the source's in the first steps (section 3.2). LocalBlend
keeps the source's latents wherever neither prompt attends to the edited words. DDIM inversion gives the trajectory of a
real image (section 4, "real image editing", which also introduces the mask). The stored inversion is the source branch,
so that the kept latents are exactly the image's.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Interval

from lipe_core import sdxl
from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, Trajectory, ddim_step, no_progress
from lipe_core.diffusion.schedule import Schedule
from lipe_core.masks import mask_ops
from lipe_core.masks.mask_ops import blend
from lipe_core.masks.recording import Prompts, RecordingDenoiser, recording_denoiser
from lipe_core.methods.map_replacement import Alignment, MapReplacement, replace_maps
from lipe_core.methods.progress import counted_steps
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel, Tokens
from lipe_core.settings import GuidanceScale, Level, Share, Steps, check_settings
from lipe_core.shapes import Latents, Mask


@dataclass(frozen=True)
class PromptToPromptConfig:
    """Settings of prompt-to-prompt with LocalBlend, as in the authors' code. Times are fractions of the steps."""

    seeded: ClassVar[bool] = False

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 7.5
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    cross_replace: Share = 0.8
    """Share of the steps during which the cross-attention maps come from the source. Lower it for a larger change."""

    self_replace: Share = 0.4
    """Share of the steps during which the self-attention maps come from the source. Lower it for a change of shape."""

    self_tokens: Annotated[int, Interval(ge=0)] = 1024
    """Largest number of queries of the self-attention layers that take the source's maps (1024 = 32 x 32). Lower it
    for a larger change."""

    blend_words: Literal["subject", "changed"] = "subject"
    """The words whose maps make the mask: those of the subject, or those that differ between the prompts. Choose the
    latter if the edit adds an object."""

    blend_start: Share = 0.2
    """Share of the steps after which the latents outside the mask are taken from the source. Raise it if the mask
    cuts off the edit."""

    threshold: Level = 0.3
    """Level of the normalized map above which a pixel may change; `otsu` chooses it for each image. Lower it if too
    little changes."""

    dilation: Annotated[float, Interval(ge=0, le=0.5)] = 1 / 16
    """Radius by which the mask grows, as a fraction of the shorter side. The default is one cell of the paper's
    16 x 16 maps."""

    attention_tokens: Annotated[int, Interval(ge=1)] = 256
    """Smallest number of queries of the attention layers whose maps are recorded. The coarsest level with at least as
    many is used; raise it for finer maps."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: PromptToPromptConfig = PromptToPromptConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt; all share one source branch. The request's mask replaces the maps'."""
    session = EditSession.of(model, request, prior, seeded=False)
    timesteps = model.timesteps(config.steps, session.size)
    on_step = counted_steps(on_step, 2 * config.steps)
    with session.with_prior():
        trajectory = session.invert(timesteps, on_step)
        all_prompts = [session.source_prompt, *session.target_prompts]
        ids = [sdxl.content_tokens(model, prompt) for prompt in all_prompts]
        prompts = session.encode(all_prompts)
        alignment = Alignment.of(ids[0], ids[1:], prompts.tokens.wanted.shape[1])
        replacement = MapReplacement(alignment, config.self_tokens)
        blend_prompts = _with_blend_words(prompts, alignment, config)
        with (
            session.clock.stage("editing"),
            replace_maps(model.unet, replacement),
            recording_denoiser(
                model, blend_prompts, config.guidance_scale, attention_tokens=config.attention_tokens, refine=0
            ) as denoiser,
        ):
            x_0, source_mask, edit_mask = edit_latents(
                denoiser, replacement, model.schedule, trajectory, session.user_mask(), config, on_step
            )
    # The source row counts in full for each edit, as the inversion does.
    evaluations = session.inversion.evaluations + 2 * denoiser.counter.evaluations // len(all_prompts)
    source_masks, edit_masks = session.mask_images(source_mask), session.mask_images(edit_mask)
    return session.edits(session.decode(x_0), config, evaluations, source_masks=source_masks, edit_masks=edit_masks)


def edit_latents(
    denoiser: RecordingDenoiser,
    replacement: MapReplacement,
    schedule: Schedule,
    trajectory: Trajectory,
    user_mask: Mask | None,
    config: PromptToPromptConfig,
    on_step: OnStep,
) -> tuple[Latents, Mask, Mask]:
    """Denoise the targets beside the source. Returns the clean latents, the source's masks and the last blend's."""
    x_t = trajectory.x_T.expand(len(replacement.alignment.index), -1, -1, -1)
    grid = trajectory.timesteps.tolist()
    maps: list[Mask] = []
    source_mask = edit_mask = torch.ones_like(x_t[:, :1])
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        progress = (step - 1) / (len(grid) - 1)
        replacement.of_cross_attention = progress < config.cross_replace
        replacement.of_self_attention = progress < config.self_replace
        eps, attention = denoiser.denoise_and_record(torch.cat([trajectory.at(t), x_t]), t)
        x_t = ddim_step(schedule, x_t, eps[1:], t, s)
        maps.append(mask_ops.resize(attention, (x_t.shape[2], x_t.shape[3])))
        masks = mask_ops.subject_mask(
            torch.stack(maps).mean(dim=0), threshold=config.threshold, dilation=config.dilation
        )
        source_mask = masks[:1].expand_as(edit_mask) if user_mask is None else user_mask
        if progress >= config.blend_start:
            edit_mask = mask_ops.union(source_mask, masks[1:]) if user_mask is None else user_mask
            x_t = blend(x_t, trajectory.at(s).expand_as(x_t), edit_mask)
        on_step(step, len(grid) - 1)
    return x_t, source_mask, edit_mask


def _with_blend_words(prompts: Prompts, alignment: Alignment, config: PromptToPromptConfig) -> Prompts:
    """The prompts with the words whose attention makes the mask; the subject's if a prompt has no other words."""
    if config.blend_words == "subject":
        return prompts
    changed = torch.cat([alignment.old, alignment.new])
    wanted = torch.where(changed.any(dim=1, keepdim=True), changed, prompts.tokens.wanted)
    return Prompts(prompts.cond, prompts.uncond, Tokens(wanted, prompts.tokens.content), prompts.latent_size)
