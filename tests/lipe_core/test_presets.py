"""Choices change the recipe's settings in proportion, and a request's own settings replace them."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from lipe_core.errors import InvalidParameters
from lipe_core.methods.nima.config import NimaConfig
from lipe_core.methods.registry import METHODS
from lipe_core.presets import CHOICES, AtLeast, Scaled, changed
from lipe_core.recipe import Recipe, load_recipe
from lipe_core.training.config import PriorConfig


def test_every_method_and_the_training_have_the_three_presets() -> None:
    assert set(CHOICES) == {"prior", *METHODS}
    assert all(list(choices["preset"]) == ["fast", "balanced", "best"] for choices in CHOICES.values())


@pytest.mark.parametrize("section", CHOICES)
def test_each_choice_has_one_option_that_changes_nothing_and_the_others_change_fields_of_the_config(
    section: str,
) -> None:
    recipe = Recipe()
    for options in CHOICES[section].values():
        assert [not changes for changes in options.values()].count(True) == 1
    for choice, options in recipe.choices()[section].items():
        for option, values in options.items():
            kind = recipe.sections()[section]
            assert {type(kind)(**{**vars(kind), **values}) == kind} == {not CHOICES[section][choice][option]}


def test_a_choice_is_relative_to_the_recipe_and_the_request_replaces_it(tmp_path: Path) -> None:
    settings = {"nima": {"steps": 12, "guidance_scale": 3.0}, "prior": {"steps": 60, "warmup": 5}}
    (tmp_path / "lipe.json").write_text(json.dumps(settings))
    recipe = load_recipe(tmp_path)
    assert recipe.method_config("nima", {}, {"preset": "fast"}) == NimaConfig(steps=6, guidance_scale=3.0)
    chosen = recipe.method_config("nima", {"steps": 7}, {"preset": "best", "change": "large", "identity": "low"})
    assert chosen == NimaConfig(steps=7, guidance_scale=5.0, source_attention_start=1.0)
    assert recipe.prior_config("animal", {}, {"preset": "best"}) == PriorConfig(steps=120, warmup=10)


def test_several_seeds_draw_noise_unless_the_recipe_or_the_request_says_how_much() -> None:
    several = {"seeds": "several"}
    assert Recipe().method_config("nima", {}, several).renoise > 0
    assert Recipe().method_config("nima", {"renoise": 0.05}, several).renoise == 0.05
    assert Recipe(methods={"nima": {"renoise": 0.9}}).method_config("nima", {}, several).renoise == 0.9


@pytest.mark.parametrize(
    ("change", "value", "expected"),
    [
        (Scaled(0.5), 1, 1),
        (Scaled(0.5), 0, 0),
        (Scaled(0.5), 5, 2),
        (Scaled(2.0, origin=1.0), 2.5, 4.0),
        (Scaled(2.0, origin=1.0), 1.0, 1.0),
        (Scaled(0.0), 0.3, 0.0),
        (AtLeast(0.3), 0.0, 0.3),
        (AtLeast(0.3), 0.5, 0.5),
    ],
)
def test_changes_of_a_value(change: Any, value: Any, expected: Any) -> None:
    assert (change(value), type(change(value))) == (expected, type(expected))


def test_a_value_stays_within_its_range() -> None:
    assert changed("nima", NimaConfig(steps=800), {"preset": "best"}) == {"steps": 999}
    ledits = METHODS["ledits"].config(steps=2)
    assert changed("ledits", ledits, {"preset": "fast"})["steps"] == 2


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"identity": "high"}, "sdedit has no choice 'identity'.*choose from preset"),
        ({"preset": "better"}, "preset must be one of fast, balanced, best, got 'better'"),
    ],
)
def test_unknown_choices_are_refused(choices: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidParameters, match=message):
        Recipe().method_config("sdedit", {}, choices)


def test_the_api_and_the_client_have_the_same_options() -> None:
    import api.choices as in_api
    import lipe_client.models as in_client

    for choice, options in CHOICES["nima"].items():
        if choice != "seeds":
            name = choice.capitalize()
            assert get_args(getattr(in_api, name)) == get_args(getattr(in_client, name)) == tuple(options)
        assert not options[in_api.DEFAULTS[choice]]
