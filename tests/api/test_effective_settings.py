"""The API refuses the same settings as `lipe_core`, which would otherwise fail the job."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from api.effective_settings import effective, refusal, schema_of
from api.fields import RequestModel
from api.method_parameters import PARAMETERS
from api.prior_parameters import PriorParameters, RegularizationParameters
from lipe_core.errors import InvalidParameters
from lipe_core.recipe import Recipe

SECTIONS: dict[str, type[RequestModel]] = {
    **PARAMETERS,
    "prior": PriorParameters,
    "regularization": RegularizationParameters,
}
CHOSEN = st.fixed_dictionaries({}, optional={"preset": st.sampled_from(["fast", "balanced", "best"])})


def values_of(setting: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a setting's schema, most of them small, so that settings contradict each other often."""
    if "anyOf" in setting:
        return st.one_of([values_of(option) for option in setting["anyOf"]])
    if "enum" in setting:
        return st.sampled_from(setting["enum"])
    if setting["type"] == "boolean":
        return st.booleans()
    if setting["type"] == "array":
        return st.lists(values_of(setting["items"]), min_size=setting["minItems"], max_size=setting["maxItems"])
    low, high = setting.get("minimum", setting.get("exclusiveMinimum")), setting.get("maximum", 30)
    if setting["type"] == "integer":
        return st.integers(low, min(high, 30)) | st.integers(low, high)
    return st.floats(
        low,
        setting.get("exclusiveMaximum", high),
        exclude_min="exclusiveMinimum" in setting,
        exclude_max="exclusiveMaximum" in setting,
    )


def config_of(recipe: Recipe, section: str, requested: dict[str, Any], choices: dict[str, str]) -> Any:
    """The settings with which `lipe_core` runs the job."""
    if section == "regularization":
        return recipe.regularization_config(requested)
    if section == "prior":
        return recipe.prior_config("animal", requested, choices)
    return recipe.method_config(section, requested, choices)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_api_refuses_what_the_core_refuses(section: str) -> None:
    names = {name: values_of(setting) for name, setting in schema_of(section)["properties"].items()}
    recipe = Recipe()
    described = {"recipe": {}, "choices": recipe.choices()}

    @settings(max_examples=30, deadline=None)
    @given(st.fixed_dictionaries({}, optional=names), CHOSEN)
    def compare(requested: dict[str, Any], choices: dict[str, str]) -> None:
        choices = choices if section != "regularization" else {}
        accepted = SECTIONS[section].model_validate(requested).given()
        values = effective(section, described, accepted, choices)
        if detail := refusal(section, values):
            with pytest.raises(InvalidParameters, match=f"^{re.escape(detail)}$"):
                config_of(recipe, section, accepted, choices)
        else:
            config = vars(config_of(recipe, section, accepted, choices))
            expected = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
            assert {name: config[name] for name in values} == expected

    compare()


@pytest.mark.parametrize(
    ("section", "requested"),
    [
        ("sdedit", {"steps": 1, "strength": 0.4}),
        ("masactrl", {"start_step": 51}),
        ("dreamctrl", {"steps": 3}),
        ("ledits", {"steps": 10, "warmup_steps": 11}),
        ("ledits", {"zero_noise_steps": 60}),
    ],
)
def test_each_rule_refuses(section: str, requested: dict[str, Any]) -> None:
    assert refusal(section, effective(section, {}, requested, {}))
    with pytest.raises(InvalidParameters):
        Recipe().method_config(section, requested)


def test_out_of_range_is_refused_by_the_schema() -> None:
    with pytest.raises(ValidationError):
        PARAMETERS["nima"].model_validate({"steps": 0})
