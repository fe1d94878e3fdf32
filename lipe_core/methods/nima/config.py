"""Settings of a NIMA edit."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from annotated_types import Interval, Len

from lipe_core.errors import InvalidRequest
from lipe_core.masks.segmentation import MOST_SNAP
from lipe_core.settings import GuidanceScale, Level, Share, Steps, check_settings

MaskMode = Literal["union", "source", "none"]
"""Blend with the source and the target silhouette (the paper), with the source's alone, or not at all."""

SubjectMap = Literal["identity", "class", "contrast"]
"""The maps that find the subject. "identity": the attention of the network with the prior, to token and class noun,
during inversion and editing (the paper). "class": the attention of the base model to the class noun; it is steadier,
but cannot tell two dogs apart and misses parts that are not the class's, such as a hat. "contrast": the latter, and
also the places where the base model's answer changes if one of `contrast_nouns` replaces the class noun."""

GuideFrom = Literal["empty", "base", "source"]
"""The prediction that guidance leads away from. "empty": the network with the prior, for the empty prompt. "base": the
base model, for the empty prompt; this strengthens the identity too. "source": the network with the prior, for the
source prompt; this strengthens only the difference between the two prompts."""

Radius: TypeAlias = Annotated[float, Interval(ge=0, le=0.1)]
Progress: TypeAlias = Annotated[float, Interval(gt=0, le=1)]
Noun: TypeAlias = Annotated[str, Len(1, 64)]


@dataclass(frozen=True)
class NimaConfig:
    """Settings of NIMA, LIPE's own method. The paper publishes no values; the defaults are ours.

    Progress runs from 0 (before the first denoising step) to 1 (after the last). Lengths are fractions of the image's
    shorter side.
    """

    seeded: ClassVar[bool] = True  # unless `renoise` is 0

    steps: Steps = 30
    """Denoising steps; the inversion takes as many. More steps are slower and reconstruct the source better."""

    guidance_scale: GuidanceScale = 5.0
    """Strength of classifier-free guidance towards the target prompt; 1 means none. Raise it if the edit is too
    weak."""

    source_guidance_scale: Annotated[float, Interval(ge=1, le=100)] = 1.0
    """Guidance towards the source prompt during the inversion. Values above 1 make the inversion less exact."""

    guide_from: GuideFrom = "empty"
    """The prediction that guidance leads away from: the prior's network for the empty prompt, the base model for the
    empty prompt (strengthens the identity too), or the prior's network for the source prompt (strengthens only what
    the prompts differ in)."""

    strength: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Share of the noise levels that the edit goes through; 1 starts at the noisiest. Lower it for small changes."""

    renoise: Share = 0.0
    """Share of fresh noise from the seed inside the source mask at the start. 0 keeps the layout of the old pose,
    1 forgets it."""

    inversion_refinements: Annotated[int, Interval(ge=0, le=10)] = 0
    """Fixed-point iterations per inversion step. Each costs one more network evaluation and makes the inversion more
    exact."""

    mask_mode: MaskMode = "union"
    """The region that may change: the union of source and target silhouettes, the source silhouette alone, or the
    whole image (`none`)."""

    threshold: Level = "otsu"
    """Level of the normalized subject map above which a pixel belongs to the subject; `otsu` chooses it for each
    image. Raise it if the mask is too large."""

    dilation: Annotated[float, Interval(ge=0, le=0.5)] = 0.06
    """Radius by which the masks grow, as a fraction of the shorter side."""

    feather: Annotated[float, Interval(ge=0, le=0.5)] = 0.03
    """Width of the soft edge of the final composite, as a fraction of the shorter side."""

    snap: Annotated[float, Interval(ge=0, le=MOST_SNAP)] = 0.0
    """Distance over which a mask's outline may move to an edge in the image, as a fraction of the shorter side;
    0 switches it off."""

    grabcut_rounds: Annotated[int, Interval(ge=0, le=10)] = 0
    """Rounds of GrabCut that refine the source silhouette by its colors; 0 switches it off."""

    coverage: Annotated[float, Interval(ge=0, lt=1)] = 0.5
    """Share of a latent cell that a silhouette must cover before the cell may change."""

    looks: Annotated[tuple[Progress, ...], Len(0, 16)] = ()
    """Points of progress at which the target silhouette is measured on the decoded image. Before the first of them,
    and without any, the attention maps of each step make the mask."""

    opening: Radius = 0.0
    """Radius of a morphological opening of the difference between the silhouettes, as a fraction of the shorter side.
    Smaller differences count as no movement and keep the source."""

    halo: Radius = 0.0
    """Width of a margin that changes together with the region that the subject leaves, as a fraction of the shorter
    side."""

    reconstruction_steps: Annotated[int, Interval(ge=0, le=100)] = 0
    """Steps that bring the background back to the source, up to the edge of the silhouettes. A few are enough."""

    tolerance: Annotated[float, Interval(ge=0, lt=2)] = 0.0
    """Color difference, in [-1, 1] values, below which a pixel of the subject is taken from the source. 0 switches it
    off."""

    source_attention_start: Share = 1.0
    """Progress after which self-attention also reads the features of the source; 1 means never. Lower it to keep more
    of the subject's texture."""

    subject_map: SubjectMap = "identity"
    """The maps that find the subject: attention with the prior to token and class noun, attention of the base model to
    the class noun, or the latter with a contrast against `contrast_nouns`."""

    contrast_nouns: Annotated[tuple[Noun, ...], Len(1, 8)] = ("chair", "tree", "person")
    """Nouns that the subject is not and that the base model knows; used if `subject_map` is `contrast`. Each of them
    costs as many network evaluations as the class noun."""

    map_window: tuple[Share, Share] = (0.0, 0.7)
    """Lowest and highest noise level, as fractions of the schedule, whose maps find the source subject if
    `subject_map` is `identity`."""

    map_momentum: Share = 0.8
    """Share of the earlier maps that the running mean of the target's maps keeps at each step. Higher values change
    the mask more slowly."""

    attention_tokens: Annotated[int, Interval(ge=1)] = 256
    """Smallest number of queries of the attention layers whose maps are recorded. The coarsest level with at least as
    many is used; raise it for finer maps."""

    refine: Annotated[int, Interval(ge=0, le=10)] = 2
    """Times that the maps are propagated along self-attention. More fills the silhouette better and may spill over."""

    blend_start: Share = 0.0
    """Progress at which blending with the source outside the mask begins. Until then the subject may move freely."""

    blend_stop: Share = 1.0
    """Progress at which blending with the source outside the mask ends."""

    composite: bool = True
    """Whether the source's own pixels replace the background of the result."""

    def __post_init__(self) -> None:
        check_settings(self)
        if round(self.strength * self.steps) < 1:
            raise InvalidRequest(f"strength {self.strength} leaves no step to do: raise it, or steps")
        for names, (low, high) in (
            ("map_window", self.map_window),
            ("blend_start and blend_stop", (self.blend_start, self.blend_stop)),
        ):
            if low > high:
                raise InvalidRequest(f"{names} must not fall, got {low} to {high}")
