"""NIMA, non-rigid editing via identity-aware mask blend: LIPE, section 3.3 and figure 3.

https://arxiv.org/abs/2406.17236. The subject moves as the target prompt says. The source stays wherever neither the
subject's old silhouette nor its new one covers it. The paper takes the new silhouette from the attention of the step
at hand. Here a first pass without a mask generates the whole edit, and the silhouette is cut from its finished image. A
second pass repeats the last steps of the first one inside the mask.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from PIL import Image

from lipe_core.adapters.prior import Prior
from lipe_core.adapters.textual_inversion import base_prompts
from lipe_core.backbone import BaseModel
from lipe_core.diffusion.ddim import Denoiser, OnStep, Trajectory, ddim_step, no_progress, sample
from lipe_core.diffusion.guidance import EvaluationCounter, guided
from lipe_core.diffusion.schedule import Schedule
from lipe_core.errors import InvalidRequest
from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.mask_ops import blend
from lipe_core.memory import in_chunks
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.edit_mask import EditMask, source_mask, union_mask
from lipe_core.methods.nima.measures import measured
from lipe_core.methods.nima.preparation import prepare
from lipe_core.methods.nima.reconstruction import restore_source
from lipe_core.methods.nima.source import Source, renoised
from lipe_core.methods.progress import counted_steps, steps_of_rows
from lipe_core.methods.request import Edit, EditRequest, OnPreview, no_preview
from lipe_core.methods.resources import NO_RESOURCES, Resources
from lipe_core.methods.session import EditSession
from lipe_core.methods.source_features import SourceFeatures, latest_lookup
from lipe_core.pixels import to_images
from lipe_core.shapes import Latents, Mask, PixelMask

_SHARED = 0.6
"""Share of the steps that both passes have in common. They decide the layout: the figure of the second pass is then
the one from which the mask was cut."""


def edit(
    model: BaseModel,
    request: EditRequest,
    config: NimaConfig = NimaConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
    on_preview: OnPreview = no_preview,
    resources: Resources = NO_RESOURCES,
) -> list[Edit]:
    """One edit for each target prompt and seed, prompts outermost; all share one inversion.

    All rows are one batch if the memory holds it, or else chunks of rows (`lipe_core.memory`). `on_step` counts the
    steps of inversion and passes; each reconstruction step reports the last one again. It may raise: the model is then
    left unchanged. `on_preview` gets the images of the first pass, of the first chunk alone. An edit of an
    image that is in `resources.kept` starts from its inversion, and others are kept there.
    """
    if len(request.seeds) > 1 and config.renoise == 0:
        raise InvalidRequest("without renoise all seeds give one image: give one seed, or set renoise")
    session = EditSession.of(model, request, prior, keeps_token=True)
    total = step_count(config)
    with session.with_prior() as base_weights:
        cache = base_prompts(session.cache, prior)
        finder = SubjectFinder(model, request.subject, base_weights, resources.segmenter, cache)
        session, source, features = prepare(session, finder, config, counted_steps(on_step, total), resources.kept)
        rows = Rows(session, source, config)
        generated = rows.generate(features, finder, lambda step, _: on_step(config.steps + step, total), on_preview)
    images, mask = rows.finish(generated, lambda step, _: on_step(total, total))
    masks = {
        "source_masks": source.mask_images(session),
        "edit_masks": session.mask_images(mask.pixels, config.feather),
    }
    evaluations = source.evaluations + generated.evaluations
    return measured(session.edits(images, config, evaluations, **masks, composite=config.composite), session, mask)


@dataclass(frozen=True)
class Generated:
    """The clean latents of rows, their masks, and the network evaluations of each row."""

    x_0: Latents
    mask: EditMask
    evaluations: int


@dataclass(frozen=True)
class Rows:
    """All edits of one request, which share a source. Each part of the work takes as many at once as memory holds."""

    session: EditSession
    source: Source
    config: NimaConfig

    def generate(
        self, features: SourceFeatures, finder: SubjectFinder, on_step: OnStep, on_preview: OnPreview
    ) -> Generated:
        """Both passes. `on_step` gets the steps after the inversion."""
        count, steps = len(self.session.rows), step_count(self.config) - self.config.steps

        def passes(rows: range) -> Generated:
            session, source, counter = self.session.part(rows), self.source.part(rows), EvaluationCounter()
            prompts = session.encode(session.target_prompts, negative_prompt=session.source_and_negative_prompt)
            unguided_until = latest_lookup(source.trajectory.timesteps, self.config.guidance_stop)
            network = session.denoiser(counter, features.network(session.model))
            denoise = guided(network, prompts.cond, prompts.uncond, self.config.guidance_scale, unguided_until)
            callbacks = steps_of_rows(on_step, steps, rows, count), no_preview if rows.start else on_preview
            x_0, mask = two_passes(session, denoise, source, finder, self.config, *callbacks)
            return Generated(x_0, mask, counter.evaluations // len(rows))

        with self.session.clock.stage("editing"), features.used(self.session.model):
            parts = in_chunks(count, passes)
        mask = EditMask.concat([part.mask for part in parts])
        evaluations = parts[0].evaluations + (finder.evaluations if mask.figure is not None else 0)
        return Generated(torch.cat([part.x_0 for part in parts]), mask, evaluations)

    def finish(self, generated: Generated, on_step: OnStep) -> tuple[list[Image.Image], EditMask]:
        """Restore the source and decode. Returns the images and the final masks."""

        def finished(rows: range) -> tuple[list[Image.Image], EditMask]:
            session, x_0 = self.session.part(rows), generated.x_0[rows.start : rows.stop]
            mask = generated.mask.part(rows)
            x_0, mask = restore_source(session, x_0, mask, self.source.part(rows), self.config, on_step)
            return session.decode(x_0), mask

        images, masks = zip(*in_chunks(len(self.session.rows), finished), strict=True)
        return [image for part in images for image in part], EditMask.concat(masks)


def step_count(config: NimaConfig) -> int:
    """The steps of an edit: inversion, second pass, and those of the first pass that the passes do not share."""
    return 2 * config.steps + (unshared_steps(config) if config.mask_mode == "union" else 0)


def unshared_steps(config: NimaConfig) -> int:
    """The last steps of each pass, which differ between the passes."""
    return round((1 - _SHARED) * config.steps)


def two_passes(
    session: EditSession,
    denoise: Denoiser,
    source: Source,
    finder: SubjectFinder,
    config: NimaConfig,
    on_step: OnStep,
    on_preview: OnPreview,
) -> tuple[Latents, EditMask]:
    """Generate the edits without a mask, cut the subject out of them, and generate them again inside the mask.

    Returns the clean latents and the mask.
    """
    schedule, timesteps, unshared = session.model.schedule, source.trajectory.timesteps, unshared_steps(config)
    x_T = renoised(source, session.seeds, config.renoise)
    x_t = sample(denoise, schedule, x_T, timesteps[unshared:], on_step=on_step)
    if config.mask_mode == "union":
        x_0 = sample(denoise, schedule, x_t, timesteps[: unshared + 1], on_step=on_step)
        mask = union_mask(source, find_figure(session, finder, x_0, on_preview), x_0, config)
    else:
        mask = source_mask(source, config)
    if (limit := session.user_silhouette()) is not None:
        mask = mask.within(limit)
    return denoise_blended(denoise, schedule, x_t, source.trajectory.until(unshared), mask.latents, on_step), mask


def find_figure(session: EditSession, finder: SubjectFinder, x_0: Latents, on_preview: OnPreview) -> PixelMask:
    """The subject's silhouettes in the finished first pass, whose images are the preview."""
    with torch.no_grad():
        images = session.model.decode_pixels(x_0).clamp(-1, 1)
    on_preview(to_images(images))
    return finder.silhouette(images, x_0, session.target_prompts)


def denoise_blended(
    denoise: Denoiser, schedule: Schedule, x_t: Latents, trajectory: Trajectory, mask: Mask, on_step: OnStep
) -> Latents:
    """Denoise x_t while the latents outside the mask follow the source's trajectory: figure 3, right."""
    grid = trajectory.timesteps.tolist()
    x_t = blend(x_t, trajectory.x_T.expand_as(x_t), mask)
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        x_t = ddim_step(schedule, x_t, denoise(x_t, t), t, s)
        x_t = blend(x_t, trajectory.at(s).expand_as(x_t), mask)
        on_step(step, len(grid) - 1)
    return x_t
