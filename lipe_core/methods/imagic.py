"""Imagic: fit the target's embedding to the image, then the network to both, then interpolate
(https://arxiv.org/abs/2210.09276, section 3).

(A) Optimize the target prompt's embedding until it generates the image. (B) Tune the whole network to the image under
the fitted embedding. (C) Sample from eta * target + (1 - eta) * fitted. Afterwards the network is the base model again.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from lipe_core.adapters.prior import Prior
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.conditioning import Conditioning
from lipe_core.diffusion.ddim import OnStep, no_progress, sample, unit_noise
from lipe_core.diffusion.guidance import EvaluationCounter, guided
from lipe_core.errors import TrainingDiverged
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.randomness import stream
from lipe_core.settings import GuidanceScale, LearningRate, Share, Steps, check_settings
from lipe_core.shapes import Latents


@dataclass(frozen=True)
class ImagicConfig:
    """Settings of Imagic, which trains for every edit. The defaults are the paper's for Stable Diffusion."""

    seeded: ClassVar[bool] = True

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 7.5
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    embedding_steps: Annotated[int, Interval(ge=0, le=1_000_000)] = 1000
    """Steps that fit the embedding of the target prompt to the image. Lower it to save time."""

    embedding_learning_rate: LearningRate = 2e-3
    """Learning rate of the embedding. Lower it if the result is unstable."""

    model_steps: Annotated[int, Interval(ge=0, le=1_000_000)] = 1500
    """Steps that tune the network to the image and the fitted embedding. Raise it if the result is not like the
    image."""

    model_learning_rate: LearningRate = 5e-7
    """Learning rate of the network. Lower it if the images show artefacts."""

    eta: Share = 0.7
    """Interpolation from the fitted embedding (0) to that of the target prompt (1). The paper finds edit and fidelity
    together between 0.6 and 0.8."""

    training_seed: int = 0
    """Seed of the noise of both trainings; the seeds of the request choose the noise of the sampling. Change it to
    repeat the trainings with other noise."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: ImagicConfig = ImagicConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt and seed; each prompt has its own trainings, which its seeds share.

    The request's mask and source prompt are not used. Evaluations are forward passes; each one of the trainings also
    has a backward pass.
    """
    total = len(request.target_prompts) * (config.embedding_steps + config.model_steps + config.steps)
    steps_done = count(1)

    def progress() -> None:
        on_step(next(steps_done), total)

    requests = [replace(request, target_prompts=(prompt,)) for prompt in request.target_prompts]
    return [edit for one in requests for edit in _edit_to_one_prompt(model, one, config, prior, progress)]


def _edit_to_one_prompt(
    model: BaseModel, request: EditRequest, config: ImagicConfig, prior: Prior | None, progress: Callable[[], None]
) -> list[Edit]:
    session, counter = EditSession.of(model, request, prior), EvaluationCounter()
    with session.with_prior():
        x_0, prompts = session.x_0(), session.encode(session.target_prompts)
        target = prompts.cond.select(torch.tensor([0]))
        with session.clock.stage("optimising"):
            fitted = optimize_embedding(model, x_0, target, config, progress)
        with own_weights(model) as weights:
            with session.clock.stage("tuning"):
                tuning = Fit(
                    config.model_steps,
                    config.model_learning_rate,
                    partial(stream, "imagic model", config.training_seed),
                )
                fit(model, x_0, fitted, weights, tuning, progress)
            with session.clock.stage("editing"), torch.no_grad(), compute(model):
                cond = interpolated(target, fitted, config.eta).expand(len(session.rows))
                x_0 = sample(
                    guided(session.denoiser(counter), cond, prompts.uncond, config.guidance_scale),
                    model.schedule,
                    unit_noise(session.seeds, model.latent_shape(session.size)).to(x_0),
                    model.timesteps(config.steps, session.size),
                    on_step=lambda step, steps: progress(),
                )
    evaluations = config.embedding_steps + config.model_steps + counter.evaluations // len(session.rows)
    return session.edits(session.decode(x_0), config, evaluations)


@dataclass(frozen=True)
class Fit:
    """Settings of one of the two trainings. `draw(step)` is the generator of the step's noise and level."""

    steps: int
    learning_rate: float
    draw: Callable[[int], torch.Generator]


def optimize_embedding(
    model: BaseModel,
    x_0: Latents,
    target: Conditioning,
    config: ImagicConfig,
    progress: Callable[[], None] = lambda: None,
) -> Conditioning:
    """(A) The embedding near the target's that generates the image; SDXL's pooled text is part of it."""
    embeds = target.prompt_embeds.float().clone().requires_grad_(True)
    pooled = target.pooled_prompt_embeds.float().clone().requires_grad_(True)
    draw = partial(stream, "imagic embedding", config.training_seed)
    conditioning = Conditioning(embeds, pooled, target.time_ids)
    fitting = Fit(config.embedding_steps, config.embedding_learning_rate, draw)
    fit(model, x_0, conditioning, [embeds, pooled], fitting, progress)
    return Conditioning(embeds.detach(), pooled.detach(), target.time_ids)


def fit(
    model: BaseModel,
    x_0: Latents,
    conditioning: Conditioning,
    weights: Sequence[Tensor],
    settings: Fit,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Minimize the denoising loss of the one image over `weights`, with Adam; one evaluation a step."""
    optimizer = torch.optim.Adam(weights, lr=settings.learning_rate, fused=True)
    for step in range(settings.steps):
        generator = settings.draw(step)
        t = torch.randint(1, model.schedule.levels, (1,), generator=generator).to(x_0.device)
        loss = reconstruction_loss(model, x_0, torch.randn(x_0.shape, generator=generator).to(x_0), t, conditioning)
        if not math.isfinite(loss.item()):
            raise TrainingDiverged(f"the loss is {loss.item()} at step {step}: lower the learning rate")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        progress()


def reconstruction_loss(model: BaseModel, x_0: Latents, eps: Latents, t: Tensor, conditioning: Conditioning) -> Tensor:
    """The denoising loss of the image at this noise and level."""
    with compute(model):
        prediction = model.predict(model.schedule.add_noise(x_0, eps, t), t, conditioning)
    return (prediction - model.schedule.target(x_0, eps, t, model.prediction_type)).square().mean()


def interpolated(target: Conditioning, fitted: Conditioning, eta: float) -> Conditioning:
    """(C) eta * target + (1 - eta) * fitted: 1 is the prompt, 0 the image."""
    return Conditioning(
        torch.lerp(fitted.prompt_embeds, target.prompt_embeds.float(), eta),
        torch.lerp(fitted.pooled_prompt_embeds, target.pooled_prompt_embeds.float(), eta),
        target.time_ids,
    )


@contextmanager
def own_weights(model: BaseModel) -> Iterator[list[torch.nn.Parameter]]:
    """Context manager that replaces the network's weights by trainable float32 copies, and restores the originals.

    In bfloat16, steps of 5e-7 would be lost to rounding.
    """
    weights = list(model.network.parameters())
    originals = [weight.data for weight in weights]
    try:
        for weight in weights:
            weight.data = weight.data.float().clone()
            weight.requires_grad_(True)
        yield weights
    finally:
        for weight, original in zip(weights, originals, strict=True):
            weight.data, weight.grad = original, None
            weight.requires_grad_(False)


def compute(model: BaseModel) -> torch.autocast:
    """Autocast to the model's own precision, whatever the precision of the weights."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=model.dtype != torch.float32)
