"""Pydantic models of the settings in `settings_schema.json`, which is made from the settings classes of `lipe_core`.

The API's image has no torch, so the API cannot import those classes. `make openapi` writes the file. Every setting is
optional: if a request leaves it out, or sends null, the base model's recipe or the method's default applies.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import Field, create_model

from api.fields import RequestModel, Text

SCHEMA: Mapping[str, Any] = json.loads(Path(__file__).with_name("settings_schema.json").read_text())

_SCALARS: Mapping[str, Any] = {"boolean": bool, "integer": int, "number": float, "string": Text}
_CONSTRAINTS: Mapping[str, str] = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}


def settings_model(schema: Mapping[str, Any], base: type[RequestModel]) -> type[RequestModel]:
    """A request model with one optional field for each property of the schema."""
    fields: dict[str, Any] = {
        name: (Annotated[_type(setting) | None, Field(description=_description(setting))], None)
        for name, setting in schema["properties"].items()
    }
    # Without source code there are no docstrings of attributes, and the search for them takes long.
    options = {"use_attribute_docstrings": False}
    return create_model(schema["title"], __base__=base, __doc__=schema["description"], __cls_kwargs__=options, **fields)


def _type(setting: Mapping[str, Any]) -> Any:
    """The Python type of a setting, with its constraints."""
    if "anyOf" in setting:
        return Union[tuple(map(_type, setting["anyOf"]))]  # noqa: UP007
    if "enum" in setting:
        return Literal[tuple(setting["enum"])]
    if "prefixItems" in setting:
        return tuple[tuple(map(_type, setting["prefixItems"]))]  # type: ignore[misc]
    kind = tuple[_type(setting["items"]), ...] if setting["type"] == "array" else _SCALARS[setting["type"]]  # type: ignore[misc]
    constraints = {argument: setting[name] for name, argument in _CONSTRAINTS.items() if name in setting}
    return Annotated[kind, Field(**constraints)] if constraints else kind


def _description(setting: Mapping[str, Any]) -> str:
    """The documentation and the default, which the schema of an optional field cannot show."""
    return f"{setting['description']} Default: {json.dumps(setting['default'])}."
