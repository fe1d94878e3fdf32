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
from typing import Any, TypeVar, cast, get_args

from lipe_core.errors import InvalidParameters, InvalidRecipe
from lipe_core.methods.registry import METHODS
from lipe_core.subject import Category
from lipe_core.training.config import PriorConfig
from lipe_core.training.regularization import RegularizationConfig

FILE = "lipe.json"
Config = TypeVar("Config")


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


def load_recipe(checkpoint: str | Path) -> Recipe:
    """The recipe in a checkpoint's folder; empty for a folder without one, and for a hub id. Raises InvalidRecipe."""
    file = Path(checkpoint) / FILE
    if not file.is_file():
        return Recipe()
    try:
        return _read(json.loads(file.read_text()))
    except (TypeError, ValueError) as error:
        raise InvalidRecipe(f"the recipe {file} cannot be followed: {error}; correct the file or remove it") from error


def _read(known: Any) -> Recipe:
    sections = _settings("sections", known, {"prior", "regularization", "categories", *METHODS})
    categories = _settings("categories", sections.get("categories", {}), set(get_args(Category)))
    methods = {name: sections[name] for name in METHODS if name in sections}
    recipe = Recipe(sections.get("prior", {}), sections.get("regularization", {}), methods, categories)
    # Everything is configured once: a request is not blamed for what the file has wrong.
    configured(PriorConfig, {}, recipe.prior)
    configured(RegularizationConfig, {}, recipe.regularization)
    for settings in categories.values():
        configured(PriorConfig, recipe.prior, settings)
    for method, settings in methods.items():
        configured(METHODS[method].config, {}, settings)
    return recipe


def _settings(what: str, found: Any, names: set[str]) -> dict[str, dict[str, Any]]:
    if not isinstance(found, dict) or not all(isinstance(section, dict) for section in found.values()):
        raise TypeError(f"its {what} are not objects of settings")
    if unknown := sorted(set(found) - names):
        raise ValueError(f"unknown {what} {', '.join(unknown)}: choose from {', '.join(sorted(names))}")
    return found


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
