"""The settings that the API offers are those of `lipe_core`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lipe_core.methods.registry import METHODS
from lipe_core.settings import describe_settings
from lipe_core.training.config import PriorConfig
from lipe_core.training.regularization import RegularizationConfig
from worker.settings_schema import METHOD_LIMITS, PRIOR_LIMITS, REGULARIZATION_LIMITS, render

FILE = Path(__file__).parents[2] / "api" / "settings_schema.json"


def test_the_committed_file_is_up_to_date() -> None:
    assert FILE.read_text() == render(), "run `make openapi` and review the changes"


@pytest.mark.parametrize(
    ("limits", "kinds"),
    [
        (METHOD_LIMITS, [method.config for method in METHODS.values()]),
        (PRIOR_LIMITS, [PriorConfig]),
        (REGULARIZATION_LIMITS, [RegularizationConfig]),
    ],
)
def test_limits_of_requests_only_narrow_the_ranges(
    limits: Mapping[str, Mapping[str, float]], kinds: list[type]
) -> None:
    settings = [describe_settings(kind)["properties"] for kind in kinds]
    assert {name for properties in settings for name in properties} >= set(limits)
    for name, limit in limits.items():
        for own in (properties[name] for properties in settings if name in properties):
            ranges: list[dict[str, Any]] = own.get("anyOf", [own])
            assert limit.get("maximum", 0) <= ranges[0].get("maximum", float("inf"))
            assert limit.get("minimum", float("inf")) >= ranges[0].get("minimum", -float("inf"))
