"""Choices: words in a request that stand for settings, such as the preset "fast".

A choice changes settings relative to those of the base model's recipe, because no one number fits networks whose sizes
differ by a factor of a thousand. "Half of the steps" does. Each choice has one option without changes, which is the
default. A request's own parameters replace those of its choices. docs/presets.md has the cost and the gain of each.

This module stands above `methods` and `training`, because it names the fields of their config classes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from lipe_core.errors import InvalidParameters
from lipe_core.settings import describe_settings


@dataclass(frozen=True)
class Scaled:
    """The setting's distance from `origin`, times `factor`."""

    factor: float
    origin: float = 0.0

    def __call__(self, value: Any) -> Any:
        """The changed value; an integer stays one."""
        changed = self.origin + self.factor * (value - self.origin)
        return max(min(value, 1), round(changed)) if isinstance(value, int) else round(changed, 6)


@dataclass(frozen=True)
class AtLeast:
    """The setting, raised to `minimum` if it is lower."""

    minimum: float

    def __call__(self, value: Any) -> Any:
        """The changed value."""
        return max(value, self.minimum)


Changes = Mapping[str, Scaled | AtLeast]
"""A change for each field."""

Options = Mapping[str, Changes]
"""The options of one choice. The default has no changes."""

_HALF, _DOUBLE = Scaled(0.5), Scaled(2.0)


def _work(*names: str) -> Options:
    """The presets of a section whose work grows with these settings. A setting that counts steps belongs to them."""
    return {"fast": dict.fromkeys(names, _HALF), "balanced": {}, "best": dict.fromkeys(names, _DOUBLE)}


CHOICES: Mapping[str, Mapping[str, Options]] = MappingProxyType(
    {
        "prior": {"preset": _work("steps", "warmup")},
        "nima": {
            "preset": _work("steps"),
            "identity": {
                "low": {"source_attention_start": Scaled(0.0, origin=1.0)},
                "normal": {},
                "high": {"source_attention_start": Scaled(0.0)},
            },
            "change": {
                "small": {"guidance_scale": Scaled(0.5, origin=1.0)},
                "normal": {},
                "large": {"guidance_scale": Scaled(2.0, origin=1.0)},
            },
            "seeds": {"one": {}, "several": {"renoise": AtLeast(0.1)}},
        },
        "nima_single_pass": {"preset": _work("steps")},
        "ddim": {"preset": _work("steps")},
        "sdedit": {"preset": _work("steps")},
        "prompt_to_prompt": {"preset": _work("steps")},
        "masactrl": {"preset": _work("steps", "start_step")},
        "dreamctrl": {"preset": _work("steps", "start_step")},
        "imagic": {"preset": _work("steps", "embedding_steps", "model_steps")},
        "ledits": {"preset": _work("steps", "warmup_steps", "zero_noise_steps")},
        "mystyle": {"preset": _work("inversion_steps", "tuning_steps", "projection_steps", "image_steps")},
        "reference_tokens": {"preset": _work("steps")},
    }
)
"""The choices of each section of a recipe. `seeds` follows from the number of a request's seeds: NIMA without
`renoise` draws no noise, and all seeds would give one image."""


def changed(section: str, config: Any, choices: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the choices replace, with their new values; `config` has the settings without choices.

    A value stays within the range of its field. Raises InvalidParameters for an unknown choice or option.
    """
    values: dict[str, Any] = {}
    ranges = _ranges(config.__class__)
    for choice, option in choices.items():
        options = CHOICES[section].get(choice)
        if options is None:
            known = ", ".join(CHOICES[section])
            raise InvalidParameters(f"{section} has no choice {choice!r}: leave it out, or choose from {known}")
        if option not in options:
            raise InvalidParameters(f"{choice} must be one of {', '.join(options)}, got {option!r}")
        for name, change in options[option].items():
            low, high = ranges[name].get("minimum", -math.inf), ranges[name].get("maximum", math.inf)
            values[name] = min(max(change(getattr(config, name)), low), high)
    return values


@cache
def _ranges(kind: Any) -> dict[str, Any]:
    properties: dict[str, Any] = describe_settings(kind)["properties"]
    return properties


def described(section: str, config: Any) -> dict[str, Any]:
    """The settings that each option of each choice replaces, as JSON."""
    return {
        choice: {option: changed(section, config, {choice: option}) for option in options}
        for choice, options in CHOICES[section].items()
    }
