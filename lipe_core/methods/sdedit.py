"""SDEdit: noise the image part of the way, denoise it with the target prompt (https://arxiv.org/abs/2108.01073).

Section 3. If the request has a mask, the paper's masked algorithm keeps the region outside. The paper is guided by an
image alone; here classifier-free guidance adds the prompt. DDIM denoises deterministically in place of the paper's
stochastic solver, as the image-to-image mode of later text-to-image models does.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval

from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.contradictions import ProductAtLeast, Rule
from lipe_core.diffusion.ddim import OnStep, no_progress, unit_noise
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.methods.masked_sampling import sample_inside
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.settings import GuidanceScale, Steps, check_settings


@dataclass(frozen=True)
class SdeditConfig:
    """Settings of SDEdit."""

    seeded: ClassVar[bool] = True
    rules: ClassVar[tuple[Rule, ...]] = (
        ProductAtLeast(
            ("strength", "steps"), 0.5, "strength {strength} of {steps} steps leaves no step to do: raise it, or steps"
        ),
    )

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 7.5
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    strength: Annotated[float, Interval(ge=0.01, le=1)] = 0.6
    """How far the image is noised (the paper's t_0); 1 is the noisiest level. The paper finds 0.3 to 0.6 to be both
    faithful and realistic; a change of pose needs the upper end."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: SdeditConfig = SdeditConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt and seed, all in one batch."""
    session = EditSession.of(model, request, prior)
    timesteps = model.timesteps(config.steps, session.size)[: 1 + max(1, round(config.strength * config.steps))]
    counter, mask = EvaluationCounter(), session.user_mask()
    with session.with_prior(), session.clock.stage("editing"):
        x_0 = session.for_rows(session.x_0())
        noise = unit_noise(session.seeds, model.latent_shape(session.size)).to(x_0)
        denoise = session.guided(session.encode(session.target_prompts), config.guidance_scale, counter)
        x_0 = sample_inside(denoise, model.schedule, x_0, noise, timesteps, mask, on_step)
    masks = None if mask is None else session.mask_images(mask)
    evaluations = counter.evaluations // len(session.rows)
    return session.edits(session.decode(x_0), config, evaluations, source_masks=masks, edit_masks=masks)
