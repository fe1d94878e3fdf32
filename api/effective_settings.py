"""The settings that a job will run with: the request's, then those of its choices, then those of the base model.

A live worker has reported the settings of its base model's recipe (`ledger.workers`). Without one, the defaults of the
settings classes apply (`settings_schema.json`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from api.settings_models import SCHEMA
from ledger import workers
from ledger.states import JobKind

Settings = dict[str, Any]
Rule = Mapping[str, Any]

GUIDED: Rule = {
    "kind": "above_one",
    "fields": ["guidance_scale"],
    "detail": "a guidance_scale of 1 ignores the negative prompt: raise it, or leave the prompt out",
}
"""The rule of a request with a negative prompt."""

_CONDITIONS: Mapping[str, Callable[[Rule, list[Any]], bool]] = {
    "at_most": lambda rule, values: values[0] <= values[1],
    "product_at_least": lambda rule, values: math.prod(values) >= rule["minimum"],
    "above_one": lambda rule, values: values[0] > 1,
}
"""For each kind of rule: whether the values of its fields keep it."""


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


def contradiction(
    session: Session,
    kind: JobKind,
    section: str,
    given: Settings,
    choices: Mapping[str, str],
    rules: Sequence[Rule] = (),
    base_model: str | None = None,
) -> str:
    """The rule that the settings break on every base model that live workers serve, in words; "" without one.

    `rules` are rules of the request besides those of the section. `base_model` is the fingerprint of the one that the
    job needs, if it needs one.
    """
    if not (schema_of(section)["rules"] or rules):
        return ""
    models = served(session, kind, base_model) or [{}]
    refusals = [refusal(section, effective(section, model, given, choices), rules) for model in models]
    return refusals[0] if all(refusals) else ""


def unsupported(
    session: Session, kind: JobKind, section: str, given: Settings, base_model: str | None = None
) -> str | None:
    """The first setting that no base model of the live workers has, or None. Its default changes nothing.

    `base_model` is the fingerprint of the one that the job needs, if it needs one.
    """
    recipes = [model.get("recipe", {}).get(section) for model in served(session, kind, base_model)]
    if not recipes or not all(recipes):  # a worker reports no settings if its recipe cannot be read
        return None
    known, settings = {name for recipe in recipes for name in recipe}, schema_of(section)["properties"]
    changed = (name for name, value in given.items() if value != settings[name]["default"])
    return next((name for name in changed if name not in known), None)


def served(session: Session, kind: JobKind, base_model: str | None = None) -> list[dict[str, Any]]:
    """The descriptions of the base models of the live workers that take jobs of this kind.

    With a fingerprint, only those of this base model, which differ in their recipes.
    """
    found = [model.description for model in workers.served_models(session) if kind in model.kinds]
    return [model for model in found if base_model in (None, model.get("fingerprint"))]


def refusal(section: str, values: Settings, rules: Sequence[Rule] = ()) -> str:
    """The first rule that the section's settings break, in words; "" without one."""
    for rule in [*schema_of(section)["rules"], *rules]:
        if not _CONDITIONS[rule["kind"]](rule, [values[name] for name in rule["fields"]]):
            return str(rule["detail"].format_map(values))
    return ""
