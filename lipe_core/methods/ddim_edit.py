"""Plain DDIM: invert the picture with the source prompt, sample it with the target prompt under guidance.

https://arxiv.org/abs/2010.02502, section 4.3 (encoding and decoding), with classifier-free guidance
(https://arxiv.org/abs/2207.12598). It is NIMA without its mask: with a prior, what the prior alone does; without
one, what everybody tries first.
"""

from dataclasses import dataclass

from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, no_progress, sample
from lipe_core.diffusion.guidance import EvaluationCounter
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession, require
from lipe_core.sdxl import BaseModel


@dataclass(frozen=True)
class DdimConfig:
    """Stable Diffusion's usual 50 steps and guidance 7.5."""

    steps: int = 50
    guidance_scale: float = 7.5

    def __post_init__(self) -> None:
        require("steps", self.steps, 1, 999)
        require("guidance_scale", self.guidance_scale, 0, 100)


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
