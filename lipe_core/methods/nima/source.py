"""NIMA's step 1: invert the source image and find the subject in it. LIPE, section 3.3 and figure 3, left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from lipe_core.diffusion.ddim import OnStep, Trajectory, unit_noise
from lipe_core.masks import segmentation
from lipe_core.masks.localization import SubjectFinder
from lipe_core.masks.mask_images import hard_mask_image
from lipe_core.methods.request import MakeImage
from lipe_core.methods.session import EditSession
from lipe_core.methods.source_features import SourceFeatures
from lipe_core.shapes import Latents, PixelMask, Size, Timesteps


@dataclass(frozen=True)
class Source:
    """The inverted source image, and the subject in it to the pixel, a row for each edit."""

    trajectory: Trajectory
    silhouette: PixelMask
    evaluations: int

    @property
    def latent_size(self) -> Size:
        """The (height, width) of the latents."""
        rows, columns = self.trajectory.x_0.shape[2:]
        return rows, columns

    def part(self, rows: range) -> "Source":
        """The same source for some of the rows."""
        return replace(self, silhouette=self.silhouette[rows.start : rows.stop])

    def mask_images(self, session: EditSession) -> list[MakeImage]:
        """The source mask of each edit at the image's own size: the user's as it was given, or the silhouette."""
        if session.request.mask is not None:
            return [partial(session.request.mask.convert, "L")] * len(session.rows)
        return [
            session.in_place(partial(hard_mask_image, row, session.crop.size)) for row in self.silhouette.cpu()[:, None]
        ]


def read_source(
    session: EditSession, timesteps: Timesteps, finder: SubjectFinder, features: SourceFeatures, on_step: OnStep
) -> Source:
    """Invert the image under the source prompt and find the subject in it. The user's mask replaces the finder."""
    with features.recorded(session.model):
        trajectory = session.invert(timesteps, on_step, features.network(session.model))
    silhouette = session.user_silhouette()
    if silhouette is not None:
        return Source(trajectory, session.for_rows(silhouette), session.inversion.evaluations)
    with session.clock.stage("inverting"):
        silhouette = finder.silhouette(session.pixels(), trajectory.x_0, [session.source_prompt])
    return Source(trajectory, session.for_rows(silhouette), session.inversion.evaluations + finder.evaluations)


def renoised(source: Source, seeds: Sequence[int], amount: float) -> Latents:
    """The trajectory's noisy end with a row for each seed, where a share of the subject's noise is the seed's.

    Variances add up: sqrt(1 - a) old + sqrt(a) new keeps the deviation if both are independent. The noisiest level
    still shows a little of the source; that part has to leave with the noise, or it would bring the old pose back.
    """
    x_T = source.trajectory.x_T
    fresh = unit_noise(seeds, (x_T.shape[1], x_T.shape[2], x_T.shape[3])).to(x_T)
    share = amount * segmentation.to_latent_mask(source.silhouette, source.latent_size)
    return (1 - share).sqrt() * x_T + share.sqrt() * fresh
