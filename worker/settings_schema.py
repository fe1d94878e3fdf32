"""The settings that requests may choose, for the API, which cannot import `lipe_core`.

`python -m worker.settings_schema > api/settings_schema.json` (part of `make openapi`) writes them as JSON Schema, made
from the settings classes of `lipe_core` and their documentation. A test compares the file with the classes.
"""

import json
from collections.abc import Mapping
from typing import Any

from lipe_core.methods.registry import METHODS
from lipe_core.recipe import Recipe
from lipe_core.settings import describe_settings
from lipe_core.training.config import PriorConfig
from lipe_core.training.regularization import RegularizationConfig

OPERATOR_SETTINGS = frozenset({"compute_dtype"})
"""Settings that depend on the machine; a request cannot choose them."""

_GUIDANCE = {"minimum": 1, "maximum": 30}
_TRAINING_STEPS = {"maximum": 5000}
_SEED = {"minimum": 0, "maximum": 2**53 - 1}  # JavaScript rounds larger integers

METHOD_LIMITS: Mapping[str, Mapping[str, float]] = {
    "steps": {"maximum": 200},
    "guidance_scale": _GUIDANCE,
    "edit_guidance_scale": _GUIDANCE,
    "source_guidance_scale": {"maximum": 30},
    "attention_tokens": {"minimum": 16, "maximum": 4096},
    "self_tokens": {"maximum": 16384},
    "start_step": {"maximum": 200},
    "start_layer": {"maximum": 1000},
    "warmup_steps": {"maximum": 200},
    "zero_noise_steps": {"maximum": 200},
    "embedding_steps": _TRAINING_STEPS,
    "model_steps": _TRAINING_STEPS,
    "inversion_steps": _TRAINING_STEPS,
    "tuning_steps": _TRAINING_STEPS,
    "projection_steps": _TRAINING_STEPS,
    "image_steps": _TRAINING_STEPS,
    "training_seed": _SEED,
}
PRIOR_LIMITS: Mapping[str, Mapping[str, float]] = {
    "steps": {"maximum": 20_000},
    "warmup": {"maximum": 20_000},
    "batch_size": {"maximum": 16},
    "preservation_batch_size": {"maximum": 16},
    "seed": _SEED,
}
REGULARIZATION_LIMITS: Mapping[str, Mapping[str, float]] = {
    "count": {"maximum": 1000},
    "steps": {"maximum": 200},
    "guidance_scale": _GUIDANCE,
    "seed": _SEED,
}
"""The three tables hold bounds that are narrower for requests than in `lipe_core`, to limit a request's GPU time."""


def settings_schema() -> dict[str, Any]:
    """JSON Schemas of the settings of every method, of the training and of the regularization set.

    `choices` has the settings that presets and the other choices replace, for a base model without a recipe.
    """
    choices = Recipe().choices()
    return {
        "methods": {
            name: {
                "title": method.config.__name__.replace("Config", "Parameters"),
                "seeded": method.config.seeded,
                "has_negative_prompt": method.has_negative_prompt,
                "has_prior": method.has_prior,
                "families": list(method.families) if method.families else None,
                "choices": choices[name],
                **_for_requests(method.config, METHOD_LIMITS),
            }
            for name, method in METHODS.items()
        },
        "prior": {
            "title": "PriorParameters",
            "choices": choices["prior"],
            **_for_requests(PriorConfig, PRIOR_LIMITS),
        },
        "regularization": {
            "title": "RegularizationParameters",
            **_for_requests(RegularizationConfig, REGULARIZATION_LIMITS),
        },
    }


def _for_requests(kind: type, limits: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    schema = describe_settings(kind)
    properties = {
        name: {**_without_null(setting), **limits.get(name, {})}
        for name, setting in schema["properties"].items()
        if name not in OPERATOR_SETTINGS
    }
    return schema | {"properties": properties}


def _without_null(setting: dict[str, Any]) -> dict[str, Any]:
    """The setting of which null is one value, without it: null in a request means the default."""
    options = [option for option in setting.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) != 1:
        return setting
    return {**options[0], **{name: value for name, value in setting.items() if name != "anyOf"}}


def render() -> str:
    """The text of the committed file."""
    return json.dumps(settings_schema(), indent=2) + "\n"


if __name__ == "__main__":
    print(render(), end="")
