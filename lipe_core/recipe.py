"""A checkpoint's own settings: networks differ in size by a factor of a thousand, and no one default fits them all.

A folder may hold `lipe.json`, {"prior": {...}, "regularization": {...}, "nima": {...}, ...}, with what suits it: a
section for the training, with what differs for a category of subjects in {"categories": {"person": {...}}}, one for
the pictures of the class, and one for each method of editing. A request's own parameters win over it, and what neither
names keeps its default.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from lipe_core.baselines import METHODS
from lipe_core.captions import Category
from lipe_core.prior_config import PriorConfig
from lipe_core.regularization import RegularizationConfig

FILE = "lipe.json"
Config = TypeVar("Config")


class InvalidParameters(ValueError):
    """A parameter that does not exist, or whose value cannot be; the message names it."""


@dataclass(frozen=True)
class Recipe:
    """What suits one checkpoint, by field name; empty where the defaults do."""

    prior: Mapping[str, Any] = field(default_factory=dict)
    regularization: Mapping[str, Any] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    categories: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def prior_config(self, category: Category, asked: Mapping[str, Any] = {}) -> PriorConfig:
        """Settings of a training: the request's, then the recipe's for the category and for all, then the defaults."""
        return configured(PriorConfig, {**self.prior, **self.categories.get(category, {})}, asked)

    def regularization_config(self, asked: Mapping[str, Any] = {}) -> RegularizationConfig:
        """Settings of the regularization set."""
        return configured(RegularizationConfig, self.regularization, asked)

    def method_config(self, method: str, asked: Mapping[str, Any] = {}) -> Any:
        """Settings of an edit by that method, one of METHODS."""
        return configured(METHODS[method].config, self.methods.get(method, {}), asked)


def recipe_of(checkpoint: str | Path) -> Recipe:
    """The recipe in a checkpoint's folder; an empty one for a folder without, and for a hub id."""
    file = Path(checkpoint) / FILE
    known = json.loads(file.read_text()) if file.is_file() else {}
    methods = {name: known[name] for name in METHODS if name in known}
    return Recipe(known.get("prior", {}), known.get("regularization", {}), methods, known.get("categories", {}))


def configured(kind: type[Config], recipe: Mapping[str, Any], asked: Mapping[str, Any]) -> Config:
    """Any settings class: what is asked for, then the recipe's, then its defaults. Raises InvalidParameters."""
    names = {field.name for field in fields(cast(Any, kind))}
    if unknown := sorted(set(asked) - names):
        raise InvalidParameters(f"unknown parameters {', '.join(unknown)}: choose from {', '.join(sorted(names))}")
    values: dict[str, Any] = {**recipe, **asked}
    values.update({name: tuple(value) for name, value in values.items() if isinstance(value, list)})
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise InvalidParameters(str(error)) from error
