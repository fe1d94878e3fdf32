"""The API's description of itself, with its refusals as they are on the wire."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import MEDIA_TYPE


def describe(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, every problem under the media type that it is sent with. Made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        for path in document["paths"].values():
            for operation in path.values():
                for answer in operation["responses"].values():
                    _name_problem(answer.get("content", {}))
        app.openapi_schema = document
    return app.openapi_schema


def _name_problem(content: dict[str, Any]) -> None:
    for media_type, entry in list(content.items()):
        if entry.get("schema", {}).get("$ref", "").endswith("/ProblemDocument"):
            content[MEDIA_TYPE] = content.pop(media_type)
