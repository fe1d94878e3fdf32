"""Plain DDIM: invert the image with the source prompt, sample it with the target prompt under guidance.

https://arxiv.org/abs/2010.02502, section 4.3 (encoding and decoding), with classifier-free guidance
(https://arxiv.org/abs/2207.12598). It is NIMA without its mask. With a prior it shows the effect of the prior alone;
without one it is the usual first attempt.
"""

from dataclasses import dataclass
from typing import ClassVar

from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import OnStep, no_progress, sample
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.methods.progress import counted_steps
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.settings import GuidanceScale, Steps, check_settings


@dataclass(frozen=True)
class DdimConfig:
    """Settings of plain DDIM: inversion, then sampling with the target prompt. Stable Diffusion's usual values."""

    seeded: ClassVar[bool] = False

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 7.5
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: DdimConfig = DdimConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt. The request's mask is not used."""
    session = EditSession.of(model, request, prior, seeded=False)
    timesteps, counter = model.timesteps(config.steps, session.size), EvaluationCounter()
    on_step = counted_steps(on_step, 2 * config.steps)
    with session.with_prior():
        trajectory = session.invert(timesteps, on_step)
        with session.clock.stage("editing"):
            x_0 = sample(
                session.guided(session.encode(session.target_prompts), config.guidance_scale, counter),
                model.schedule,
                session.for_rows(trajectory.x_T),
                timesteps,
                on_step=on_step,
            )
    evaluations = session.inversion.evaluations + counter.evaluations // len(session.rows)
    return session.edits(session.decode(x_0), config, evaluations)
