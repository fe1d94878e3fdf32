"""Settings of a NIMA edit."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval

from lipe_core.settings import GuidanceScale, Share, Steps, check_settings

MaskMode = Literal["union", "source", "none"]
"""Blend with the changed part of the old and the new silhouette, with the old one alone, or not at all."""


@dataclass(frozen=True)
class NimaConfig:
    """Settings of NIMA, LIPE's own method. The paper publishes no values; the defaults are ours.

    Progress runs from 0 (before the first denoising step) to 1 (after the last). Lengths are fractions of the image's
    shorter side.
    """

    seeded: ClassVar[bool] = True  # unless `renoise` is 0

    steps: Steps = 20
    """Denoising steps of each pass; the inversion takes as many. More steps are slower and keep finer details."""

    guidance_scale: GuidanceScale = 2.0
    """Strength of the difference between target and source prompt; 1 adds none. Raise it if the edit is too weak."""

    guidance_stop: Share = 1.0
    """Progress after which there is no guidance, so that a step takes half the time; 1 guides every step. At 0.75 an
    edit takes a tenth less time, and expressions become weaker. Lower it for faster edits."""

    renoise: Share = 0.0
    """Share of fresh noise from the seed where the subject was. 0 keeps the layout of the old pose, 1 forgets it.
    Above 0, each seed gives another image."""

    mask_mode: MaskMode = "union"
    """The region that may change: `union` is where the first pass changes the subject's old and new silhouette,
    `source` the old silhouette alone, `none` the whole image. Use `none` if the background may change, too."""

    margin: Annotated[float, Interval(ge=0, le=0.5)] = 0.03
    """Width by which the region that may change grows, as a fraction of the shorter side. Raise it if edges of the
    subject are cut off."""

    source_attention_start: Share = 0.3
    """Progress after which self-attention also reads the features of the source; 1 means never. Lower it to keep more
    of the subject's texture."""

    reconstruction_steps: Annotated[int, Interval(ge=0, le=100)] = 3
    """Steps that correct the latents until the background is that of the source. A few are enough. Set 0 to save
    time if the background may change."""

    feather: Annotated[float, Interval(ge=0, le=0.5)] = 0.02
    """Width of the soft edge of the final composite, as a fraction of the shorter side. Raise it if the edge is
    visible."""

    crop: bool = True
    """Whether a subject that fills a small part of a large image is edited in a crop around it, which is sharper. Turn
    it off if the subject moves far. Without `composite`, or with the mask mode `none`, nothing is cropped."""

    composite: bool = True
    """Whether the source's own pixels replace the background of the result. Turn it off if the background may
    change, too."""

    @property
    def crops(self) -> bool:
        """Whether the edit may be made in a crop: the rest of the image stays as it is."""
        return self.crop and self.composite and self.mask_mode != "none"

    def __post_init__(self) -> None:
        check_settings(self)
