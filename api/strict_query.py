"""Refusal of unknown query parameters: without it a misspelled filter would be ignored silently.

The known parameters are read from the OpenAPI document.
"""

from typing import Any

from fastapi import Depends, Request

from api import openapi, problems, suggestions


async def _refuse_unknown(request: Request) -> None:
    """Raise Problem for the first query parameter that the document does not list."""
    if not request.query_params:
        return
    listed = {entry["name"]: entry for entry in _operation(request).get("parameters", ()) if entry["in"] == "query"}
    for name in request.query_params:
        is_object = listed.get(name.partition("[")[0], {}).get("style") == "deepObject"
        if name not in listed and not is_object:
            raise problems.invalid(suggestions.unknown("query parameter", name, listed), param=name)


def _operation(request: Request) -> dict[str, Any]:
    """The operation's description, found by its id: the path of a route lacks the prefix of its router."""
    name = request.scope["route"].operation_id
    document = request.app.openapi()
    return next((one for one in openapi.operations(document) if one["operationId"] == name), {})


strict_query = Depends(_refuse_unknown)
