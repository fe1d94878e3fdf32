"""Rules between the settings of one class, for contradictions that no range of a single field expresses.

A settings class lists its rules in `rules`. `settings.check_settings` enforces them; `settings.describe_settings`
exports them, so that the service refuses the same settings without this package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AtMost:
    """`field` is at most `other`."""

    field: str
    other: str

    def refusal(self, values: Mapping[str, Any]) -> str | None:
        """The refusal of these settings, or None."""
        return None if values[self.field] <= values[self.other] else self.detail.format_map(values)

    @property
    def detail(self) -> str:
        """The message, with the fields' names in braces for their values."""
        return f"{self.field} must be at most {self.other}, {{{self.other}}}, got {{{self.field}}}"

    def describe(self) -> dict[str, Any]:
        """The rule as JSON."""
        return {"kind": "at_most", "fields": [self.field, self.other], "detail": self.detail}


@dataclass(frozen=True)
class ProductAtLeast:
    """The product of two fields is at least `minimum`; `detail` is the message, as that of `AtMost`."""

    fields: tuple[str, str]
    minimum: float
    detail: str

    def refusal(self, values: Mapping[str, Any]) -> str | None:
        """The refusal of these settings, or None."""
        one, other = self.fields
        return None if values[one] * values[other] >= self.minimum else self.detail.format_map(values)

    def describe(self) -> dict[str, Any]:
        """The rule as JSON."""
        return {
            "kind": "product_at_least",
            "fields": list(self.fields),
            "minimum": self.minimum,
            "detail": self.detail,
        }


Rule = AtMost | ProductAtLeast
