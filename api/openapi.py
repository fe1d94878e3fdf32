"""The OpenAPI document: FastAPI's, with examples, problem documents as they are on the wire, and webhooks.

`api.contract` writes it to docs/openapi.json.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import examples, quota
from api.auth import needs_key, required_scope
from api.problems import MEDIA_TYPE

JSON = "application/json"
CREATED = ("201", "202")


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of the application, made at the first call."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
            tags=app.openapi_tags,
        )
        _add_scopes(document)
        for operation in operations(document):
            _set_problem_media_type(operation)
            _add_examples(operation)
            _add_rate_limit_headers(operation)
        for name, methods in document["webhooks"].items():
            methods["post"]["requestBody"]["content"][JSON]["example"] = examples.event(name)
            methods["post"]["responses"].pop("422", None)  # FastAPI adds it, but receivers answer as they like
        document["components"]["schemas"].pop("HTTPValidationError", None)
        document["components"]["schemas"].pop("ValidationError", None)
        app.openapi_schema = document
    return app.openapi_schema


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every operation of the document."""
    for methods in document["paths"].values():
        yield from methods.values()


def _add_scopes(document: dict[str, Any]) -> None:
    """Name the scope of each operation, in words and as a role, which OpenAPI 3.1 allows with HTTP schemes."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if needs_key(path) and "security" in operation:
                scope = required_scope(method.upper(), path)
                operation["security"] = [{scheme: [scope] for scheme in entry} for entry in operation["security"]]
                operation["description"] += f"\n\nNeeds a key with the scope `{scope}`."


def _set_problem_media_type(operation: dict[str, Any]) -> None:
    """Move the schema of problems to their media type; FastAPI puts it under that of the route's answer."""
    for response in operation["responses"].values():
        content = response.get("content", {})
        for media_type, entry in list(content.items()):
            if media_type != MEDIA_TYPE and entry.get("schema", {}).get("$ref", "").endswith("/ProblemDocument"):
                content[MEDIA_TYPE] |= content.pop(media_type)


def _add_examples(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    request = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if request is not None:
        request["example"] = examples.REQUESTS[name]
    for status, response in operation["responses"].items():
        if status.startswith("2") and JSON in response.get("content", {}):
            response["content"][JSON]["example"] = examples.RESPONSES[name]


def _add_rate_limit_headers(operation: dict[str, Any]) -> None:
    """Describe the headers where a quota may refuse the request."""
    refusals = " ".join(response["description"] for response in operation["responses"].values())
    if any(f"`{code}`" in refusals for code, _ in quota.PROBLEMS.values()):
        for status, response in operation["responses"].items():
            if status in CREATED:
                response.setdefault("headers", {}).update(quota.RATE_LIMIT_HEADERS)
