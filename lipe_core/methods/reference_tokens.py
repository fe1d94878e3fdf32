"""Reference tokens: FLUX.2 [klein] generates the target while it reads other images as further tokens of its sequence.

The image editing of `Flux2KleinPipeline` in diffusers: the source, or images of the subject, stand beside the target,
and the prompt says what becomes of them. This is another way to the subject's identity than a prior, without a
training; a prior may be added. If the request has a mask, the source stays outside (`masked_sampling`), and its own
pixels return there.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, no_progress, unit_noise
from lipe_core.diffusion.guidance import EvaluationCounter, guided
from lipe_core.errors import InvalidRequest
from lipe_core.flux2 import BaseModel
from lipe_core.methods.masked_sampling import sample_inside
from lipe_core.methods.request import Edit, EditRequest
from lipe_core.methods.session import EditSession
from lipe_core.settings import GuidanceScale, Steps, check_settings
from lipe_core.shapes import ImageLatents

MOST_REFERENCES = 4
"""The references that are read. Each has up to as many tokens as the target, and attention takes their square."""


@dataclass(frozen=True)
class ReferenceTokensConfig:
    """Settings of reference tokens, which need FLUX.2. The defaults are those of diffusers' pipeline."""

    seeded: ClassVar[bool] = True

    images: Literal["source", "references", "both"] = "source"
    """The images that the network reads beside the target: the `source`, the subject's first four `references`, or
    `both`, the source first. Each image adds up to as many tokens as the target has."""

    steps: Steps = 50
    """Denoising steps. More steps are slower and more exact."""

    guidance_scale: GuidanceScale = 4.0
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    feather: Annotated[float, Interval(ge=0, le=0.5)] = 0.02
    """Width of the soft edge of the final composite inside the request's mask, as a fraction of the shorter side. Raise
    it if the edge is visible. Without a mask, the whole image may change."""

    def __post_init__(self) -> None:
        check_settings(self)


def edit(
    model: BaseModel,
    request: EditRequest,
    config: ReferenceTokensConfig = ReferenceTokensConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
) -> list[Edit]:
    """One edit for each target prompt and seed, all in one batch."""
    session = EditSession.of(model, request, prior)
    timesteps, mask = model.timesteps(config.steps, session.size), session.user_mask()
    counter = EvaluationCounter()
    with session.with_prior(), session.clock.stage("editing"):
        source = session.x_0()
        network = session.denoiser(counter, partial(model.denoiser, images=_images(model, request, config, source)))
        x_0 = session.for_rows(source)
        noise = unit_noise(session.seeds, model.latent_shape(session.size)).to(x_0)
        prompts = session.encode(session.target_prompts)
        denoise = guided(network, prompts.cond, prompts.uncond, config.guidance_scale)
        x_0 = sample_inside(denoise, model.schedule, x_0, noise, timesteps, mask, on_step)
    evaluations = counter.evaluations // len(session.rows)
    if mask is None:
        return session.edits(session.decode(x_0), config, evaluations)
    masks = {"source_masks": session.mask_images(mask), "edit_masks": session.mask_images(mask, config.feather)}
    return session.edits(session.decode(x_0), config, evaluations, **masks, composite=True)


def _images(
    model: BaseModel, request: EditRequest, config: ReferenceTokensConfig, source: ImageLatents
) -> list[ImageLatents]:
    """The latents of the images beside the target. Raises InvalidRequest for missing references."""
    if config.images == "source":
        return [source]
    if not request.references:
        raise InvalidRequest("the request has no references: give some, or set images to source")
    references = [model.encode_reference(image) for image in request.references[:MOST_REFERENCES]]
    return references if config.images == "references" else [source, *references]
