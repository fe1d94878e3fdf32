"""Plain DDIM: invert the picture with the source prompt, sample it with the target prompt under guidance.

https://arxiv.org/abs/2010.02502, section 4.3 (encoding and decoding), with classifier-free guidance
(https://arxiv.org/abs/2207.12598). It is NIMA without its mask: with a prior, what the prior alone does; without
one, what everybody tries first.
"""

from dataclasses import dataclass

from lipe_core.baselines.canvas import Canvas, require
from lipe_core.ddim import OnStep, no_progress, sample
from lipe_core.editor import Edit, EditRequest
from lipe_core.guidance import Tally
from lipe_core.prior import Prior
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
    canvas = Canvas.of(model, request, prior, seeded=False)
    timesteps, tally = model.schedule.timesteps(config.steps), Tally()
    with canvas.with_prior():
        trajectory = canvas.invert(timesteps, lambda step, steps: on_step(step, 2 * steps))
        with canvas.clock.stage("editing"):
            x_0 = sample(
                canvas.guided(canvas.encode(canvas.target_prompts), config.guidance_scale, tally),
                model.schedule,
                trajectory.x_T.expand(len(canvas.rows), -1, -1, -1),
                timesteps,
                on_step=lambda step, steps: on_step(steps + step, 2 * steps),
            )
    return canvas.edits(x_0, config, canvas.inversion.evaluations + tally.evaluations // len(canvas.rows))
