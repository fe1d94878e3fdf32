"""A checkpoint's own settings, because no one default fits networks whose sizes differ by a factor of a thousand.

LIPE ships recipes, which are chosen by the base model's architecture and training (`recipes`). Single values are
replaced by `lipe.json` in the checkpoint's folder, and these by a file or a name that an operator sets (LIPE_RECIPE).
The layout of each is {"prior": {...}, "regularization": {...}, "nima": {...}, ...}: a section for the training, one for
the regularization set, and one for each editing method. {"categories": {"person": {...}}} holds the training settings
that differ for a category of subjects. A request's own parameters replace those of its choices (`presets`), which
change the recipe's, which replace the defaults.

This module stands above `methods` and `training`, because it checks a recipe against their config classes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from lipe_core import recipes
from lipe_core.errors import InvalidParameters, InvalidRecipe
from lipe_core.methods.registry import METHODS
from lipe_core.presets import CHOICES, changed, described
from lipe_core.subject import Category
from lipe_core.training.config import PriorConfig
from lipe_core.training.regularization import RegularizationConfig

FILE = "lipe.json"
Config = TypeVar("Config")
Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """Settings by field name that replace the defaults for one checkpoint."""

    prior: Mapping[str, Any] = field(default_factory=dict)
    regularization: Mapping[str, Any] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    categories: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def replaced_by(self, other: "Recipe") -> "Recipe":
        """The settings of both; where both have one, that of the other recipe.

        A training setting of the other recipe also replaces that of a category.
        """
        categories = {
            name: {key: value for key, value in settings.items() if key not in other.prior}
            for name, settings in self.categories.items()
        }
        return Recipe(
            {**self.prior, **other.prior},
            {**self.regularization, **other.regularization},
            _merged(self.methods, other.methods),
            _merged(categories, other.categories),
        )

    def prior_config(
        self, category: Category, requested: Mapping[str, Any] = {}, choices: Mapping[str, str] = {}
    ) -> PriorConfig:
        """Settings of a training: the request's, then its choices', the recipe's for the category, and for all."""
        recipe = {**self.prior, **self.categories.get(category, {})}
        return chosen("prior", PriorConfig, recipe, requested, choices)

    def regularization_config(
        self, requested: Mapping[str, Any] = {}, choices: Mapping[str, str] = {}
    ) -> RegularizationConfig:
        """Settings of the regularization set."""
        return chosen("regularization", RegularizationConfig, self.regularization, requested, choices)

    def method_config(self, method: str, requested: Mapping[str, Any] = {}, choices: Mapping[str, str] = {}) -> Any:
        """Settings of an edit by that method, one of METHODS."""
        return chosen(method, METHODS[method].config, self.methods.get(method, {}), requested, choices)

    def sections(self) -> dict[str, Any]:
        """The settings of each section without a request, for all categories."""
        methods = {name: self.method_config(name) for name in METHODS}
        prior = configured(PriorConfig, self.prior, {})
        return {"prior": prior, "regularization": self.regularization_config(), **methods}

    def choices(self) -> dict[str, Any]:
        """The settings that each option of each choice replaces, by section (`presets.described`)."""
        sections = self.sections()
        return {name: described(name, sections[name]) for name in CHOICES}


def load_recipe(checkpoint: str | Path, override: str = "") -> Recipe:
    """The recipe of a checkpoint: the shipped one, then the one in its folder, if any.

    `override` is the name of a shipped recipe, which replaces LIPE's choice, or a file, whose values replace those of
    all others. Raises InvalidRecipe.
    """
    is_name = override in recipes.NAMES
    recipe = _read(recipes.shipped(override if is_name else recipes.recipe_name(checkpoint)))
    layers = [Path(checkpoint) / FILE, *([Path(override)] if override and not is_name else [])]
    if len(layers) > 1 and not layers[1].is_file():
        names = ", ".join(recipes.NAMES)
        raise InvalidRecipe(f"LIPE_RECIPE={override} is neither a file nor one of {names}: correct or unset it")
    for file in layers:
        if file.is_file():
            recipe = recipe.replaced_by(_read_file(file))
    return recipe


def _read_file(file: Path) -> Recipe:
    try:
        return _read(json.loads(file.read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise InvalidRecipe(f"the recipe {file} cannot be followed: {error}; correct the file or remove it") from error


def _read(content: Any) -> Recipe:
    sections = _sections("sections", content, {"prior", "regularization", "categories", *METHODS})
    categories = _sections("categories", sections.get("categories", {}), set(get_args(Category)))
    methods = {name: sections[name] for name in METHODS if name in sections}
    recipe = Recipe(sections.get("prior", {}), sections.get("regularization", {}), methods, categories)
    # Build every config once, so that an error in the file is not reported as a request's.
    configured(PriorConfig, {}, recipe.prior)
    configured(RegularizationConfig, {}, recipe.regularization)
    for settings in categories.values():
        configured(PriorConfig, recipe.prior, settings)
    for method, settings in methods.items():
        configured(METHODS[method].config, {}, settings)
    return recipe


def _merged(one: Sections, other: Sections) -> Sections:
    return {name: {**one.get(name, {}), **other.get(name, {})} for name in {**one, **other}}


def _sections(what: str, found: Any, names: set[str]) -> dict[str, dict[str, Any]]:
    if not isinstance(found, dict) or not all(isinstance(section, dict) for section in found.values()):
        raise TypeError(f"its {what} are not objects of settings")
    if unknown := sorted(set(found) - names):
        raise ValueError(f"unknown {what} {', '.join(unknown)}: choose from {', '.join(sorted(names))}")
    return found


def chosen(
    section: str,
    kind: type[Config],
    recipe: Mapping[str, Any],
    requested: Mapping[str, Any],
    choices: Mapping[str, str],
) -> Config:
    """Build a config as `configured` does, where the choices change the recipe's settings."""
    changes = changed(section, configured(kind, recipe, {}), choices) if choices else {}
    return configured(kind, {**recipe, **changes}, requested)


def configured(kind: type[Config], recipe: Mapping[str, Any], requested: Mapping[str, Any]) -> Config:
    """Build a config from the request's settings, then the recipe's, then the defaults. Raises InvalidParameters."""
    names = {field.name for field in fields(cast(Any, kind))}
    if unknown := sorted(set(requested) - names):
        raise InvalidParameters(f"unknown parameters {', '.join(unknown)}: choose from {', '.join(sorted(names))}")
    values: dict[str, Any] = {**recipe, **requested}
    values.update({name: tuple(value) for name, value in values.items() if isinstance(value, list)})
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise InvalidParameters(str(error)) from error
