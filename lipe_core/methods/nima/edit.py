"""NIMA, non-rigid editing via identity-aware mask blend: LIPE, section 3.3 and figure 3.

https://arxiv.org/abs/2406.17236. The subject moves as the target prompt says. The source stays wherever neither the
subject's old silhouette nor its new one covers it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.adapters.prior import Prior
from lipe_core.diffusion.ddim import OnStep, ddim_step, no_progress
from lipe_core.errors import InvalidRequest
from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.mask_ops import blend
from lipe_core.masks.recording import Prompts, RecordingDenoiser, recording_denoiser
from lipe_core.methods.nima import edit_mask
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.nima.reconstruction import restore_source
from lipe_core.methods.nima.source import Source, read_source, renoised, subject_finder
from lipe_core.methods.request import Edit, EditRequest, OnPreview, no_preview
from lipe_core.methods.session import EditSession, first_half, second_half
from lipe_core.methods.source_features import SourceFeatures, latest_lookup
from lipe_core.sdxl import BaseModel
from lipe_core.shapes import Latents, PixelMask


def edit(
    model: BaseModel,
    request: EditRequest,
    config: NimaConfig = NimaConfig(),
    *,
    prior: Prior | None = None,
    on_step: OnStep = no_progress,
    on_preview: OnPreview = no_preview,
) -> list[Edit]:
    """One edit for each target prompt and seed, prompts outermost; all share one inversion and one batch.

    `on_step` counts the steps of inversion and edit; each reconstruction step reports the last one again. It may raise:
    the model is then left unchanged. `on_preview` gets the unfinished edits at each of the config's `looks`.
    """
    if len(request.seeds) > 1 and config.renoise == 0:
        raise InvalidRequest("without renoise all seeds give one image: give one seed, or set renoise")
    session = EditSession.of(model, request, prior, keeps_token=True)
    timesteps = model.schedule.timesteps(config.steps)[: 1 + round(config.strength * config.steps)]
    features = SourceFeatures(latest_lookup(timesteps, config.source_attention_start))
    with session.with_prior() as base_weights:
        finder = subject_finder(session, config, base_weights)
        negative_prompt = session.source_prompt if config.guide_from == "source" else ""
        prompts = session.encode(session.target_prompts, negative_prompt=negative_prompt)
        source = read_source(session, timesteps, finder, features, config, first_half(on_step))
        with (
            session.clock.stage("editing"),
            target_denoiser(session, prompts, features, config, base_weights) as denoiser,
        ):
            x_0, changed = denoise_blended(session, denoiser, source, finder, config, second_half(on_step), on_preview)
    x_0, changed = restore_source(session, x_0, changed, source, config, on_step)
    evaluations = denoiser.counter.evaluations // len(session.rows)
    return session.edits(
        session.decode(x_0),
        config,
        source.evaluations + evaluations + edit_mask.evaluations(config, finder, len(timesteps) - 1),
        source_masks=source.mask_images(session),
        edit_masks=session.mask_images(changed, config.feather),
        composite=config.composite,
    )


def denoise_blended(
    session: EditSession,
    denoiser: RecordingDenoiser,
    source: Source,
    finder: SubjectFinder,
    config: NimaConfig,
    on_step: OnStep,
    on_preview: OnPreview,
) -> tuple[Latents, PixelMask]:
    """Denoise towards the target prompts while the background follows the source's trajectory: figure 3, right.

    Returns the clean latents and, to the pixel, what changed: the subject's old and new silhouette.
    """
    schedule, trajectory = session.model.schedule, source.trajectory
    grid = trajectory.timesteps.tolist()
    steps = len(grid) - 1
    looks = edit_mask.look_steps(config, steps)
    x_t = renoised(trajectory, source.mask, session.seeds, config.renoise)
    mask, mean_map = edit_mask.of_source(source, config), source.mask
    for step, (t, s) in enumerate(pairwise(reversed(grid)), start=1):
        if step <= edit_mask.last_recorded_step(config, steps):
            eps, attention = denoiser.denoise_and_record(x_t, t)
            mean_map = edit_mask.running_mean(mean_map, attention, config.map_momentum)
        else:
            eps = denoiser.denoise(x_t, t)
        if step in looks:
            x_0 = ddim_step(schedule, x_t, eps, t, 0)
            silhouettes = edit_mask.find_subject(session, finder, x_0, mean_map, config, on_preview)
            mask = edit_mask.of_silhouettes(source, silhouettes, config)
        elif step <= edit_mask.last_attention_step(config, steps):
            mask = edit_mask.of_attention(source, mean_map, config)
        x_t = ddim_step(schedule, x_t, eps, t, s)
        if config.blend_start <= step / steps <= config.blend_stop:
            x_t = blend(x_t, trajectory.at(s).expand_as(x_t), mask.latents)
        on_step(step, steps)
    return x_t, mask.pixels


@contextmanager
def target_denoiser(
    session: EditSession,
    prompts: Prompts,
    features: SourceFeatures,
    config: NimaConfig,
    base_weights: BaseWeights | None,
) -> Iterator[RecordingDenoiser]:
    """The network under the target prompts, whose later layers also read the source's features."""
    with (
        features.used(session.model.unet),  # before the recording, so that its maps are of the target alone
        recording_denoiser(
            session.model,
            prompts,
            config.guidance_scale,
            attention_tokens=config.attention_tokens,
            refine=config.refine,
            guide_from=base_weights if config.guide_from == "base" else None,
        ) as denoiser,
    ):
        yield features.follow(denoiser)
