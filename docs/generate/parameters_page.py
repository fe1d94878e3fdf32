"""The page of the parameters of trainings and edits, from api/settings_schema.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.generate.markdown import page, table

SCHEMA = Path(__file__).parents[2] / "api" / "settings_schema.json"
LARGE = 2**53 - 1
"""A limit of this size is that of a JSON number, and says nothing."""
INTRODUCTION = """
A request sets parameters by name: `parameters` of an edit and of a training, and `regularization` of a training. A
parameter that is left out has the value of the base model's recipe (`lipe.json` in its folder), or else the default
below. The `resolved` of a job lists the values that were used.
"""
TRAINING = """
`POST /v1/subjects/{id}/priors`, field `parameters`; `lipe train --parameter steps=500`.
"""
REGULARIZATION = """
`POST /v1/subjects/{id}/priors`, field `regularization`; `lipe train --regularization count=16`.
"""


def render() -> str:
    """The text of docs/parameters.md."""
    schema = json.loads(SCHEMA.read_text())
    parts = ["## Training", TRAINING, _table(schema["prior"])]
    parts += ["## Regularization images", REGULARIZATION, _table(schema["regularization"])]
    for name, method in schema["methods"].items():
        description = method.get("description", "").partition("\n\n")[0]
        parts += [f"## Edit by `{name}`", description, _table(method) if method["properties"] else "No parameters."]
    return page("Parameters", INTRODUCTION, *parts)


def _table(schema: Mapping[str, Any]) -> str:
    rows = (
        (f"`{name}`", _kind(field), f"`{json.dumps(field['default'])}`" if "default" in field else "", _meaning(field))
        for name, field in schema["properties"].items()
    )
    return table(("parameter", "values", "default", "meaning"), rows)


def _meaning(field: Mapping[str, Any]) -> str:
    return str(field.get("description", ""))


def _kind(field: Mapping[str, Any]) -> str:
    """The values that a parameter takes, in words."""
    if "anyOf" in field:
        return " or ".join(_kind(option) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {})) or 'values'}"
    return f"{field.get('type', 'any')}{_range(field)}"


def _range(field: Mapping[str, Any]) -> str:
    limits = {"at least": "minimum", "above": "exclusiveMinimum", "at most": "maximum", "below": "exclusiveMaximum"}
    words = [f"{word} {field[key]:g}" for word, key in limits.items() if abs(field.get(key, LARGE)) < LARGE]
    return f", {', '.join(words)}" if words else ""
