"""The settings that a job will run with: the request's, then those of its choices, then those of the base model.

A live worker has reported the settings of its base model's recipe (`ledger.workers`). Without one, the defaults of the
settings classes apply (`settings_schema.json`).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from api.settings_models import SCHEMA
from ledger import workers
from ledger.states import JobKind

Settings = dict[str, Any]


def schema_of(section: str) -> Mapping[str, Any]:
    """The schema of a section: "prior", "regularization" or a method."""
    found: Mapping[str, Any] = SCHEMA["methods"].get(section) or SCHEMA[section]
    return found


def effective(section: str, model: Mapping[str, Any], given: Mapping[str, Any], choices: Mapping[str, str]) -> Settings:
    """All settings of a section on the base model that `model` describes; {} describes one without a recipe."""
    schema = schema_of(section)
    defaults = {name: setting["default"] for name, setting in schema["properties"].items()}
    recipe = model.get("recipe", {}).get(section, {})
    options = model.get("choices", {}).get(section) or schema.get("choices", {})
    changes: Settings = {}
    for choice, option in choices.items():
        changes |= options.get(choice, {}).get(option, {})
    return {**defaults, **recipe, **changes, **given}


def contradiction(session: Session, kind: JobKind, section: str, given: Settings, choices: Mapping[str, str]) -> str:
    """The rule that the settings break on every base model that live workers serve, in words; "" without one."""
    if not schema_of(section)["rules"]:
        return ""
    models = [model.description for model in workers.served_models(session) if kind in model.kinds] or [{}]
    refusals = [refusal(section, effective(section, model, given, choices)) for model in models]
    return refusals[0] if all(refusals) else ""


def refusal(section: str, values: Settings) -> str:
    """The first rule of the section that its settings break, in words; "" without one."""
    return next(_refusals(schema_of(section)["rules"], values), "")


def _refusals(rules: list[Mapping[str, Any]], values: Settings) -> Iterator[str]:
    for rule in rules:
        numbers = [values[name] for name in rule["fields"]]
        is_kept = numbers[0] <= numbers[1] if rule["kind"] == "at_most" else math.prod(numbers) >= rule["minimum"]
        if not is_kept:
            yield rule["detail"].format_map(values)
