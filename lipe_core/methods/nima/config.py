"""What can be set of a NIMA edit."""

from dataclasses import dataclass
from typing import Literal

from lipe_core.errors import InvalidRequest
from lipe_core.masks import mask_ops
from lipe_core.masks.segmentation import MOST_SNAP

MaskMode = Literal["union", "source", "none"]
"""Blend with the source and the target silhouette (the paper), with the source's alone, or not at all."""

SubjectMap = Literal["identity", "class", "contrast"]
"""Whose attention finds the subject in the source and at looks: the tuned network's, to token and noun, while it
inverts and edits (the paper), or the base model's, to the noun alone: steadier, but blind to which of two dogs is
meant, and to what is the subject's but not its class's, such as a hat; or, beside the latter, wherever the base model
would paint something else, were the subject one of the `contrast_nouns` (`contrast.py`)."""

GuideFrom = Literal["empty", "base", "source"]
"""What guidance leads away from: the tuned network's answer to the empty prompt; the base model's, so that the
identity is strengthened, too; or the tuned network's to the source prompt, so that only what the target prompt says
otherwise is strengthened, and the rest stays where it was."""


@dataclass(frozen=True)
class NimaConfig:
    """Settings of an edit. None of these values is the paper's, which published none.

    `strength`: how far the picture is noised, 1 = to the noisiest level. `renoise`: how much of that, inside the
    source mask, gives way to the seed's noise; 0 keeps the old pose's layout, 1 forgets it. `map_window`: the noise
    levels, as fractions of the schedule, whose maps make an identity `subject_map` of the source. `map_momentum`:
    how slowly the target's maps change its mask. `dilation` and `feather` are fractions of the picture's shorter
    side. `snap` lets outlines move to the picture's own edges, and `grabcut_rounds` of GrabCut cut the source's
    silhouette by its colours (`outline.py`). A latent may change where the old or the new silhouette covers more
    than `coverage` of it, or the subject left. At each of the `looks`, points of the edit's progress, the edit so
    far is decoded and the target's silhouette taken from it, to stay until the next; before the first one, and
    without any, each step's maps make the mask. Progress runs from 0 to 1. The blend is on while it is within
    `blend_start` and `blend_stop`: one that starts with the first look leaves the subject free to find its new
    place. `opening` and `halo`, fractions of the shorter side: where silhouettes differ by less than twice the
    former, nothing moved and the source stays; where the subject left, the latter goes along around it, which its
    edge blends into. `reconstruction_steps`: steps that bring the background back to what the source shows, up to
    the silhouettes' edge (`restore.py`); a few will do. `tolerance`: what was painted there and differs from the
    source by less, in colours in [-1, 1], is the source's, too: the subject changes only where the prompt changes
    it. `source_attention_start`: the progress behind which self-attention looks up in the source, too, what the
    subject looks like (`source_features.py`); 1: never. `contrast_nouns`: a few things that the subject is not, and
    that the network knows; each costs as much of a look as the subject itself.
    """

    steps: int = 30
    guidance_scale: float = 5.0
    source_guidance_scale: float = 1.0
    guide_from: GuideFrom = "empty"
    strength: float = 1.0
    renoise: float = 0.0
    inversion_refinements: int = 0
    mask_mode: MaskMode = "union"
    threshold: mask_ops.Threshold = "otsu"
    dilation: float = 0.06
    feather: float = 0.03
    snap: float = 0.0
    grabcut_rounds: int = 0
    coverage: float = 0.5
    looks: tuple[float, ...] = ()
    opening: float = 0.0
    halo: float = 0.0
    reconstruction_steps: int = 0
    tolerance: float = 0.0
    source_attention_start: float = 1.0
    subject_map: SubjectMap = "identity"
    contrast_nouns: tuple[str, ...] = ("chair", "tree", "person")
    map_window: tuple[float, float] = (0.0, 0.7)
    map_momentum: float = 0.8
    attention_tokens: int = 256
    refine: int = 2
    blend_start: float = 0.0
    blend_stop: float = 1.0
    composite: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1 or round(self.strength * self.steps) < 1:
            raise InvalidRequest(f"strength must be in (0, 1] and leave a step to do, got {self.strength}")
        for name in ("renoise", "map_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidRequest(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("reconstruction_steps", "grabcut_rounds"):
            if getattr(self, name) < 0:
                raise InvalidRequest(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 <= self.tolerance < 2:
            raise InvalidRequest(f"tolerance must be in [0, 2), or nothing could ever change; got {self.tolerance}")
        if not 0 <= self.snap <= MOST_SNAP:
            raise InvalidRequest(f"snap must be in [0, {MOST_SNAP}], got {self.snap}")
        for name in ("opening", "halo"):
            if not 0 <= getattr(self, name) <= 0.1:
                raise InvalidRequest(f"{name} must be in [0, 0.1], got {getattr(self, name)}")
        if not 0 <= self.coverage < 1:
            raise InvalidRequest(f"coverage must be in [0, 1), or no cell may ever change; got {self.coverage}")
        if not 0 <= self.source_attention_start <= 1:
            raise InvalidRequest(f"source_attention_start must be in [0, 1], got {self.source_attention_start}")
        if not all(0 < look <= 1 for look in self.looks):
            raise InvalidRequest(f"looks must be in (0, 1], got {', '.join(map(str, self.looks))}")
        if self.subject_map == "contrast" and not self.contrast_nouns:
            raise InvalidRequest("a contrast map needs contrast_nouns: a few things that the subject is not")
        for low, high in (self.map_window, (self.blend_start, self.blend_stop)):
            if not 0 <= low <= high <= 1:
                raise InvalidRequest(f"a window must run upwards within [0, 1], got {low} to {high}")
