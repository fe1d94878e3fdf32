"""Problem documents (RFC 9457): the body of every refusal, with a code from one closed list (`api.problem_kinds`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.problem_kinds import PROBLEM_KINDS

MEDIA_TYPE = "application/problem+json"
COMMON = (
    "malformed_request",
    "unauthenticated",
    "insufficient_scope",
    "body_too_slow",
    "too_many_requests",
    "body_too_large",
    "invalid_request",
    "too_many_bodies",
    "internal",
    "unavailable",
)
"""Codes that every route that needs a key may answer with."""


class FieldError(BaseModel, use_attribute_docstrings=True):
    """One error of the request: its field (`param`, such as `references[1]`) and a description."""

    param: str
    """Name of the field, such as `references[1]`."""

    detail: str
    """Description of the error: what to change."""


class UsedBy(BaseModel, use_attribute_docstrings=True):
    """The resources that keep another one from being deleted, oldest first: at most 100 of each kind."""

    subjects: list[str]
    """Ids of the subjects."""

    edits: list[str]
    """Ids of the edits."""

    studies: list[str]
    """Ids of the studies."""


class ProblemDocument(BaseModel, use_attribute_docstrings=True):
    """A problem document (RFC 9457) with a stable `code`. `retryable`: the same request may succeed later."""

    type: str
    """URN of the code."""

    title: str
    """Summary, the same for all problems of one code."""

    status: int
    """HTTP status of the answer."""

    detail: str
    """Description for people: what to change in this request."""

    code: str = Field(json_schema_extra={"enum": list(PROBLEM_KINDS)})
    """Stable code, explained in docs/problems.md. Programs should decide by it."""

    param: str | None = None
    """Name of the first invalid field or parameter; absent if the problem is not about one."""

    errors: list[FieldError] = []
    """All invalid fields."""

    used_by: UsedBy | None = None
    """The resources that use the one to delete; absent unless the code says that it is in use."""

    request_id: str | None
    """Id of the request, as in the header `X-Request-Id`. Quote it in a report of an error."""

    retryable: bool
    """Whether the same request may succeed later, after the seconds of `Retry-After`."""


class Problem(HTTPException):
    """A refusal. `detail` says what the caller can do, `param` names the field."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        param: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        used_by: UsedBy | None = None,
    ) -> None:
        self.kind = PROBLEM_KINDS[code]
        super().__init__(self.kind.status, detail, dict(headers or {}))
        self.code = code
        self.param = param
        self.errors = list(errors)
        self.used_by = used_by


def not_found(noun: str, identifier: str, *, param: str | None = None) -> Problem:
    """The same problem for a resource that does not exist and for one of another project."""
    return Problem("not_found", f"there is no {noun} {identifier} in this project: check the id", param=param)


def invalid(detail: str, *, param: str) -> Problem:
    """An error that the schema cannot express, in the same form as a schema error."""
    return Problem("invalid_request", detail, param=param, errors=[FieldError(param=param, detail=detail)])


def problem_responses(*codes: str, common: Sequence[str] = COMMON) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, with those common to all routes, for OpenAPI."""
    statuses: dict[int | str, dict[str, Any]] = {}
    for code in (*common, *codes):
        kind = PROBLEM_KINDS[code]
        entry = statuses.setdefault(kind.status, {"model": ProblemDocument, "description": "", "content": {}})
        entry["description"] = ", ".join(filter(None, [entry["description"], f"`{code}`"]))
        media = entry["content"].setdefault(MEDIA_TYPE, {"examples": {}})  # FastAPI adds the schema of the model
        media["examples"][code] = {"value": _example(code)}
        if kind.retryable:
            entry["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return statuses


def _example(code: str) -> dict[str, Any]:
    kind = PROBLEM_KINDS[code]
    return ProblemDocument(
        type=f"urn:lipe:problem:{code}",
        title=kind.title,
        status=kind.status,
        detail=f"{kind.title}: docs/problems.md says what to do",
        code=code,
        request_id="req_5f0c6f0e8c0f4b6f9a3d2b1c0e9d8c7b",
        retryable=kind.retryable,
    ).model_dump(mode="json", exclude_none=True)
