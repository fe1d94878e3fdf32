"""Choices: fields of a request that stand for settings. `lipe_core.presets` says for which."""

from collections.abc import Mapping
from typing import Any, Literal

from api.settings_models import SCHEMA

Preset = Literal["fast", "balanced", "best"]
Identity = Literal["low", "normal", "high"]
Change = Literal["small", "normal", "large"]

DEFAULTS: Mapping[str, str] = {"preset": "balanced", "identity": "normal", "change": "normal", "seeds": "one"}


def chosen(values: Mapping[str, Any]) -> dict[str, str]:
    """The choices that differ from the default."""
    return {name: value for name, value in values.items() if value != DEFAULTS[name]}


def methods_with(choice: str) -> list[str]:
    """The methods that offer this choice."""
    return [name for name, schema in SCHEMA["methods"].items() if choice in schema["choices"]]


def methods_with_negative_prompt() -> list[str]:
    """The methods whose guidance leads away from a negative prompt."""
    return [name for name, schema in SCHEMA["methods"].items() if schema["has_negative_prompt"]]


def methods_with_prior() -> list[str]:
    """The methods that use a prior, and do not learn from the references themselves."""
    return [name for name, schema in SCHEMA["methods"].items() if schema["has_prior"]]
