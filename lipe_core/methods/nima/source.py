"""NIMA's step 1: invert the source image and find the subject in it. LIPE, section 3.3 and figure 3, left."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch
from PIL import Image

from lipe_core.adapters.full_attention import BaseWeights
from lipe_core.diffusion.ddim import OnStep, Trajectory, invert, unit_noise
from lipe_core.diffusion.schedule import NoiseSchedule
from lipe_core.masks import mask_ops, segmentation
from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.recording import RecordingDenoiser, recording_denoiser
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.session import EditSession
from lipe_core.methods.source_features import SourceFeatures
from lipe_core.pixels import to_grey, to_mask
from lipe_core.shapes import Latents, Mask, PixelMask, Size, Timesteps


@dataclass(frozen=True)
class Source:
    """The inverted source image.

    `silhouette` is the subject to the pixel, at the size that the network works at, and `mask` is M_s, the latents
    that it covers; both have a row for each edit. `evaluations` are those of inversion and localization.
    """

    trajectory: Trajectory
    silhouette: PixelMask
    mask: Mask
    evaluations: int

    def mask_images(self, session: EditSession) -> list[Image.Image]:
        """The source mask of each edit at the image's own size: the user's as it was given, or the silhouette."""
        if session.request.mask is not None:
            return [session.request.mask.convert("L")] * len(session.rows)
        return [to_grey((mask_ops.resize(row, session.image_size) > 0.5).float()) for row in self.silhouette[:, None]]


def subject_finder(session: EditSession, config: NimaConfig, base_weights: BaseWeights | None) -> SubjectFinder:
    """The finder of the request's subject with the config's settings."""
    contrast_nouns = config.contrast_nouns if config.subject_map == "contrast" else ()
    return SubjectFinder(
        session.model, session.request.subject, config.threshold, config.snap, contrast_nouns, base_weights
    )


def read_source(
    session: EditSession,
    timesteps: Timesteps,
    finder: SubjectFinder,
    features: SourceFeatures,
    config: NimaConfig,
    on_step: OnStep,
) -> Source:
    """Invert the image under the source prompt and find the subject in it. The user's mask replaces the finder."""
    model, prompt, user_mask = session.model, session.source_prompt, session.request.mask
    with session.clock.stage("encoding"):
        x_0, pixels = session.x_0(), session.pixels()
    recorded = recorded_timesteps(timesteps, model.schedule, config) if user_mask is None else set()
    with (
        session.clock.stage("inverting"),
        recording_denoiser(
            model,
            session.encode([prompt]),
            config.source_guidance_scale,
            attention_tokens=config.attention_tokens,
            refine=config.refine,
        ) as denoiser,
        features.recorded(model.unet),
    ):
        trajectory, attention = invert_source(
            features.follow(denoiser), model.schedule, x_0, timesteps, config, on_step, recorded=recorded
        )
        evaluations = denoiser.counter.evaluations
        if user_mask is None:
            silhouette = finder.silhouette(pixels, x_0, [prompt], attention, grabcut_rounds=config.grabcut_rounds)
            evaluations += finder.base_map_evaluations if attention is None else 0
        else:
            silhouette = (mask_ops.resize(to_mask(user_mask), session.size) > 0).to(pixels)
        mask = source_mask(silhouette, (x_0.shape[2], x_0.shape[3]), config, user_mask)
    return Source(trajectory, session.for_rows(silhouette), session.for_rows(mask), evaluations)


def invert_source(
    denoiser: RecordingDenoiser,
    schedule: NoiseSchedule,
    x_0: Latents,
    timesteps: Timesteps,
    config: NimaConfig,
    on_step: OnStep,
    *,
    recorded: Set[int],
) -> tuple[Trajectory, Mask | None]:
    """The source's trajectory, and the mean attention map of the `recorded` timesteps; None if there are none."""
    maps: dict[int, Mask] = {}

    def denoise(x_t: Latents, t: int) -> Latents:
        if t not in recorded:
            return denoiser.denoise(x_t, t)
        eps, attention = denoiser.denoise_and_record(x_t, t)
        maps[t] = mask_ops.resize(attention, (x_0.shape[2], x_0.shape[3]))
        return eps

    trajectory = invert(denoise, schedule, x_0, timesteps, refinements=config.inversion_refinements, on_step=on_step)
    return trajectory, torch.stack(list(maps.values())).mean(dim=0) if maps else None


def recorded_timesteps(timesteps: Timesteps, schedule: NoiseSchedule, config: NimaConfig) -> set[int]:
    """The timesteps of the inversion whose maps make the source's silhouette.

    They are those within the config's `map_window`, or all if the window holds none. The base model's maps need none.
    """
    if config.subject_map != "identity":
        return set()
    low, high = (edge * schedule.levels for edge in config.map_window)
    evaluated = set(timesteps[:-1].tolist())  # the inversion does not evaluate the noisiest timestep
    return {t for t in evaluated if low <= t <= high} or evaluated


def source_mask(silhouette: PixelMask, size: Size, config: NimaConfig, user_mask: Image.Image | None) -> Mask:
    """M_s over (height, width) latents, from the silhouette; every latent that a user's mask touches."""
    if config.mask_mode == "none":
        return silhouette.new_ones(1, 1, *size)
    if user_mask is not None:
        return segmentation.to_latent_mask(silhouette, size, 0.0)
    return mask_ops.dilate(segmentation.to_latent_mask(silhouette, size, config.coverage), config.dilation)


def renoised(trajectory: Trajectory, mask: Mask, seeds: Sequence[int], amount: float) -> Latents:
    """The trajectory's noisy end with a row for each seed, where inside the mask a share of it is the seed's noise.

    Variances add up: sqrt(1 - a) old + sqrt(a) new keeps the deviation if both are independent. The noisiest level
    still shows a little of the source; that part has to leave with the noise, or it would bring the old pose back.
    """
    x_T = trajectory.x_T
    fresh = unit_noise(seeds, (x_T.shape[1], x_T.shape[2], x_T.shape[3])).to(x_T)
    share = amount * mask
    return (1 - share).sqrt() * x_T + share.sqrt() * fresh
