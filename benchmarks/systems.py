"""The systems of the quality benchmark: LIPE, ablations of LIPE, and other methods."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from menagerie.experiment import DataVariant


@dataclass(frozen=True)
class System:
    """One row of the table: a method of `lipe_core`, and changes of its settings.

    `prior` is the training data of the prior, and `training` changes the settings of the training. Without a prior the
    method uses the base model, as in its paper. `kinds` are the kinds of subjects that it can edit; empty means all.
    """

    method: str
    prior: DataVariant | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()

    def edits(self, kind: str) -> bool:
        """Whether the system can edit subjects of this kind."""
        return not self.kinds or kind in self.kinds


_LONG = {"steps": 240}
"""Four times the steps of the miniature's recipe: captions matter more in a longer training."""

SYSTEMS: Mapping[str, System] = {
    "lipe": System("nima", "full"),
    "lipe, plain captions": System("nima", "plain_captions"),
    "lipe, long training": System("nima", "full", training=_LONG),
    "lipe, plain captions, long training": System("nima", "plain_captions", training=_LONG),
    "lipe, no regularization": System("nima", "no_regularization"),
    "lipe, no mask": System("nima", "full", {"mask_mode": "none", "composite": False}),
    "lipe, source mask only": System("nima", "full", {"mask_mode": "source"}),
    "nima, single pass": System("nima_single_pass", "full"),
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
    "reference tokens": System("reference_tokens", changes={"images": "both"}),
    "reference tokens with prior": System("reference_tokens", "full", {"images": "both"}),
}
