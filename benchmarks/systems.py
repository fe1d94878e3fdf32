"""The systems that are compared: LIPE, the same without one of its parts, and what a user would otherwise reach for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from menagerie.experiment import Data


@dataclass(frozen=True)
class System:
    """One row of the table: a method of `lipe_core`, what differs from its settings, what its prior is learnt from, and
    what differs in that training.

    A method without a prior is what its paper has: the untuned base model. `kinds` are the subjects that it can edit,
    all if it names none.
    """

    method: str
    prior: Data | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()

    def edits(self, kind: str) -> bool:
        """Whether it takes subjects of this kind."""
        return not self.kinds or kind in self.kinds


_LONG = {"steps": 240}
"""Four times the miniature's recipe: the longer a prior is learnt, the more its captions matter."""

SYSTEMS: Mapping[str, System] = {
    "lipe": System("nima", "full"),
    "lipe, plain captions": System("nima", "plain_captions"),
    "lipe, long training": System("nima", "full", training=_LONG),
    "lipe, plain captions, long training": System("nima", "plain_captions", training=_LONG),
    "lipe, no regularization": System("nima", "no_regularization"),
    "lipe, no mask": System("nima", "full", {"mask_mode": "none", "composite": False}),
    "lipe, identity map": System("nima", "full", {"subject_map": "identity"}),
    "lipe, source mask only": System("nima", "full", {"mask_mode": "source"}),
    "ddim with prior": System("ddim", "full"),
    "dreamctrl": System("dreamctrl", "full"),
    "nima, no prior": System("nima"),
    "masactrl": System("masactrl"),
    "local blend": System("prompt_to_prompt"),
    "ledits++": System("ledits"),
    "sdedit": System("sdedit"),
    "ddim": System("ddim"),
    "imagic": System("imagic"),
    "mystyle": System("mystyle", kinds=("face",)),
}
