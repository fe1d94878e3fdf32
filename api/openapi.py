"""The contract: the API's description of itself, with examples, its refusals as they are on the wire, and webhooks.

`python -m api.openapi` prints it; `make openapi` keeps it as docs/openapi.json, and a test compares the two.
"""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import examples, quota
from api.problems import MEDIA_TYPE

JSON = "application/json"
MADE = ("201", "202")


def describe(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with what only we know. Made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
            tags=app.openapi_tags,
        )
        for operation in operations(document):
            _name_problems(operation)
            _exemplify(operation)
            _tell_quotas(operation)
        for name, methods in document["webhooks"].items():
            methods["post"]["requestBody"]["content"][JSON]["example"] = examples.event(name)
            methods["post"]["responses"].pop("422", None)  # FastAPI's guess of what a receiver answers
        document["components"]["schemas"].pop("HTTPValidationError", None)
        document["components"]["schemas"].pop("ValidationError", None)
        app.openapi_schema = document
    return app.openapi_schema


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every operation of the document."""
    for methods in document["paths"].values():
        yield from methods.values()


def _name_problems(operation: dict[str, Any]) -> None:
    """Every problem under the media type that it is sent with; FastAPI puts its schema under that of the answer."""
    for answer in operation["responses"].values():
        content = answer.get("content", {})
        for media_type, entry in list(content.items()):
            if media_type != MEDIA_TYPE and entry.get("schema", {}).get("$ref", "").endswith("/ProblemDocument"):
                content[MEDIA_TYPE] |= content.pop(media_type)


def _exemplify(operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    asked = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if asked is not None:
        asked["example"] = examples.REQUESTS[name]
    for status, answer in operation["responses"].items():
        if status.startswith("2") and JSON in answer.get("content", {}):
            answer["content"][JSON]["example"] = examples.ANSWERS[name]


def _tell_quotas(operation: dict[str, Any]) -> None:
    """What may refuse by a quota tells how it stands."""
    refusals = " ".join(answer["description"] for answer in operation["responses"].values())
    if any(f"`{code}`" in refusals for code, _ in quota.REFUSALS.values()):
        for status, answer in operation["responses"].items():
            if status in MADE:
                answer.setdefault("headers", {}).update(quota.DESCRIBED)


def text() -> str:
    """The document of an application with default settings, as it is checked in."""
    from api.app import make_app
    from ledger.settings import Settings

    document = make_app(Settings.model_construct()).openapi()  # what it describes depends on no setting
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(text(), end="")
