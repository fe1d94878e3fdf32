"""The systems that are compared, and the sweep that settles the recipe's open values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class System:
    """A method of `lipe_core` with changes of its settings. `training` changes the prior's; None means no prior."""

    method: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None


WITH_PRIOR: Mapping[str, Any] = {}

SYSTEMS: Mapping[str, System] = {
    "lipe": System("nima", training=WITH_PRIOR),
    "lipe, whole image": System("nima", {"crop": False}, WITH_PRIOR),
    "lipe, no mask": System("nima", {"mask_mode": "none", "composite": False}, WITH_PRIOR),
    "lipe, source mask only": System("nima", {"mask_mode": "source"}, WITH_PRIOR),
    "nima, single pass": System("nima_single_pass", training=WITH_PRIOR),
    "nima, no prior": System("nima"),
    "dreamctrl": System("dreamctrl", training=WITH_PRIOR),
    "masactrl": System("masactrl"),
    "prompt to prompt": System("prompt_to_prompt"),
    "ledits++": System("ledits"),
    "sdedit": System("sdedit"),
    "ddim": System("ddim"),
    "imagic": System("imagic"),
    "reference tokens": System("reference_tokens", {"images": "references"}),
    "reference tokens, source": System("reference_tokens"),
    "reference tokens, with prior": System("reference_tokens", training=WITH_PRIOR),
}

_EDIT_SWEEP: Mapping[str, tuple[Any, ...]] = {
    "guidance_scale": (1.5, 3.0, 4.5, 6.0),
    "steps": (30, 50),
    "renoise": (0.2, 0.5),
    "source_attention_start": (0.15, 0.6, 1.0),
    "margin": (0.015, 0.06),
}
_TRAINING_SWEEP: Mapping[str, tuple[Any, ...]] = {
    "steps": (250, 1000),
    "learning_rate": (5e-5, 2e-4),
    "rank": (8, 32),
    "subject_emphasis": (3.0,),
    "mirror": (True,),
    "tuning": ("full_attention",),
}
_FULL_ATTENTION_RATE = 1e-6
"""A hundredth of a LoRA's."""


def sweep() -> dict[str, System]:
    """`lipe`, and systems that each differ from it in one value of the recipe that was never measured on SDXL."""
    systems = {"lipe": SYSTEMS["lipe"]}
    for name, values in _EDIT_SWEEP.items():
        systems |= {f"{name} {value}": System("nima", {name: value}, WITH_PRIOR) for value in values}
    for name, values in _TRAINING_SWEEP.items():
        for value in values:
            rate = {"learning_rate": _FULL_ATTENTION_RATE} if value == "full_attention" else {}
            systems[f"training {name} {value}"] = System("nima", training={name: value, **rate})
    return systems
