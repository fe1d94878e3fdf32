"""Fields of a settings class: their range is checked, and described together with their documentation."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pytest
from annotated_types import Interval, Len

from lipe_core.contradictions import AtMost, ProductAtLeast, Rule
from lipe_core.errors import InvalidRequest
from lipe_core.settings import Level, check_settings, describe_settings


@dataclass(frozen=True)
class Example:
    """One field of each
    kind."""

    steps: Annotated[int, Interval(ge=1, le=999)] = 30
    """Denoising
    steps."""

    rate: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Learning rate."""

    layer: Annotated[int, Interval(ge=0)] = 0
    """First layer."""

    last_layer: Annotated[int, Interval(ge=0)] | None = None
    """Last layer."""

    level: Level = "otsu"
    """Level of the map."""

    mode: Literal["union", "none"] = "union"
    """Region that may change."""

    nouns: Annotated[tuple[Annotated[str, Len(1, 64)], ...], Len(1, 2)] = ("dog",)
    """Other nouns."""

    window: tuple[float, float] = (0.0, 1.0)
    """Noise levels."""

    masked: bool = True
    """Whether there is a mask."""

    rules: ClassVar[tuple[Rule, ...]] = (
        AtMost("layer", "steps"),
        ProductAtLeast(("rate", "steps"), 0.5, "rate {rate} is too low for {steps} steps: raise it"),
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Inherited(Example):
    """The same fields."""


@pytest.mark.parametrize("kind", [Example, Inherited])
@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 1, "rate": 0.7},
        {"steps": 999, "rate": 0.999},
        {"layer": 0},
        {"level": 0},
        {"level": 1.0, "mode": "none"},
        {"nouns": ("cat", "x" * 64)},
        {"nouns": ["cat"], "window": [0, 5]},
    ],
)
def test_values_within_their_range_are_kept(kind: Any, settings: dict[str, Any]) -> None:
    assert {name: getattr(kind(**settings), name) for name in settings} == settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, r"steps must be an integer in \[1, 999\], got 0"),
        ({"steps": 1.5}, "steps must be an integer"),
        ({"steps": "many"}, "got 'many'"),
        ({"rate": 0.0}, r"rate must be a number in \(0, 1\), got 0.0"),
        ({"rate": 1.0}, r"in \(0, 1\)"),
        ({"rate": float("nan")}, "got nan"),
        ({"last_layer": -1}, "layer must be an integer of at least 0 or null"),
        ({"level": 1.1}, r"level must be a number in \[0, 1\] or 'otsu'"),
        ({"level": "otsus"}, "level"),
        ({"layer": 31}, "layer must be at most steps, 30, got 31"),
        ({"steps": 2, "layer": 3}, "layer must be at most steps, 2, got 3"),
        ({"steps": 2, "rate": 0.2}, "rate 0.2 is too low for 2 steps: raise it"),
        ({"mode": "source"}, "mode must be one of 'union', 'none', got 'source'"),
        ({"nouns": ()}, "nouns must be a list, .* with 1 to 2 items"),
        ({"nouns": ("",)}, "nouns"),
        ({"nouns": "dog"}, "nouns"),
        ({"window": (0.0,)}, "window must be 2 values"),
        ({"window": (0.0, float("inf"))}, "window"),
        ({"masked": "yes"}, "masked must be true or false"),
    ],
)
def test_other_values_are_refused_by_the_name_of_the_field(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        Example(**settings)


@pytest.mark.parametrize("kind", [Example, Inherited])
def test_the_description_has_range_default_and_documentation(kind: type) -> None:
    assert describe_settings(kind)["properties"] == {
        "steps": {"type": "integer", "minimum": 1, "maximum": 999, "default": 30, "description": "Denoising steps."},
        "rate": {
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "default": 0.5,
            "description": "Learning rate.",
        },
        "layer": {"type": "integer", "minimum": 0, "default": 0, "description": "First layer."},
        "last_layer": {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
            "default": None,
            "description": "Last layer.",
        },
        "level": {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"enum": ["otsu"]}],
            "default": "otsu",
            "description": "Level of the map.",
        },
        "mode": {"enum": ["union", "none"], "default": "union", "description": "Region that may change."},
        "nouns": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
            "minItems": 1,
            "maxItems": 2,
            "default": ("dog",),
            "description": "Other nouns.",
        },
        "window": {
            "type": "array",
            "prefixItems": [{"type": "number"}, {"type": "number"}],
            "minItems": 2,
            "maxItems": 2,
            "default": (0.0, 1.0),
            "description": "Noise levels.",
        },
        "masked": {"type": "boolean", "default": True, "description": "Whether there is a mask."},
    }
    assert describe_settings(Example)["description"] == "One field of each kind."
    assert describe_settings(kind)["rules"] == [
        {
            "kind": "at_most",
            "fields": ["layer", "steps"],
            "detail": "layer must be at most steps, {steps}, got {layer}",
        },
        {
            "kind": "product_at_least",
            "fields": ["rate", "steps"],
            "minimum": 0.5,
            "detail": "rate {rate} is too low for {steps} steps: raise it",
        },
    ]


def test_a_field_without_documentation_is_named() -> None:
    @dataclass(frozen=True)
    class Undocumented:
        steps: int = 1

    with pytest.raises(ValueError, match=r"Undocumented\.steps has no docstring"):
        describe_settings(Undocumented)
