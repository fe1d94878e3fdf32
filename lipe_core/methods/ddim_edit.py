"""Plain DDIM: invert the picture with the source prompt, sample it with the target prompt under guidance.

https://arxiv.org/abs/2010.02502, section 4.3 (encoding and decoding), with classifier-free guidance
(https://arxiv.org/abs/2207.12598). It is NIMA without its mask: with a prior, what the prior alone does; without
one, what everybody tries first.
"""

from dataclasses import dataclass
from typing import ClassVar

from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, no_progress, sample
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.sdxl import BaseModel
from lipe_core.settings import GuidanceScale, Steps, check_settings


@dataclass(frozen=True)
class DdimConfig:
    """Settings of plain DDIM: inversion, then sampling with the target prompt. Stable Diffusion's usual values."""

    seeded: ClassVar[bool] = False

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 7.5
    """Strength of classifier-free guidance towards the target prompt; 1 means none."""

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
    """One edit for each target prompt. A mask in the request has no place here."""
    session = EditSession.of(model, request, prior, seeded=False)
    timesteps, counter = model.schedule.timesteps(config.steps), EvaluationCounter()
    with session.with_prior():
        trajectory = session.invert(timesteps, lambda step, steps: on_step(step, 2 * steps))
        with session.clock.stage("editing"):
            x_0 = sample(
                session.guided(session.encode(session.target_prompts), config.guidance_scale, counter),
                model.schedule,
                trajectory.x_T.expand(len(session.rows), -1, -1, -1),
                timesteps,
                on_step=lambda step, steps: on_step(steps + step, 2 * steps),
            )
    return session.edits(x_0, config, session.inversion.evaluations + counter.evaluations // len(session.rows))
