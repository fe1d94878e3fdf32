"""Filters of lists: `status=...` and `metadata[key]=value`."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import TypeAdapter, ValidationError

from api import problems
from api.fields import Metadata
from ledger.states import State

StatusFilter = Annotated[
    State | None, Query(description="Only those in this state. An edit or a prior has the state of its newest job.")
]

METADATA_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "description": "`metadata[key]=value`: only those with this pair. Give several to require all of them.",
            "required": False,
            "style": "deepObject",
            "explode": True,
            "schema": {
                "type": "object",
                "maxProperties": 16,
                "propertyNames": {"minLength": 1, "maxLength": 64},
                "additionalProperties": {"type": "string", "maxLength": 512},
            },
            "example": {"order": "7"},
        }
    ]
}
"""`openapi_extra` of the routes with this filter: FastAPI cannot describe an object in the query."""

_NAME = re.compile(r"metadata\[(.*)\]", re.DOTALL)
_PAIRS: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)


async def _metadata_filter(request: Request) -> dict[str, str]:
    """The pairs of the query. Raises Problem."""
    pairs: dict[str, str] = {}
    for name, key, value in _given(request):
        if key in pairs:
            raise problems.invalid("give each key once", param=name)
        try:
            pairs |= _PAIRS.validate_python({key: value})
        except ValidationError as error:
            raise problems.invalid(error.errors()[0]["msg"], param=name) from error
    try:
        return _PAIRS.validate_python(pairs)
    except ValidationError as error:
        raise problems.invalid(error.errors()[0]["msg"], param="metadata") from error


MetadataFilter = Annotated[dict[str, str], Depends(_metadata_filter)]


def _given(request: Request) -> Iterator[tuple[str, str, str]]:
    """Parameter, key and value of each `metadata[key]=value`."""
    for name, value in request.query_params.multi_items():
        if name.partition("[")[0] == "metadata":
            found = _NAME.fullmatch(name)
            if found is None:
                raise problems.invalid("write metadata[key]=value", param=name)
            yield name, found[1].strip(), value
