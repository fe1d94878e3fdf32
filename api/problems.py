"""Every refusal is a problem document (RFC 9457) with a code from one closed list.

The codes are the contract: docs/problems.md explains each of them, and a test keeps the two alike.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from ledger.database import UNAVAILABLE
from ledger.storage import StorageError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "5"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """What all problems of one code share; `retryable`: the same request may succeed later."""

    status: int
    title: str
    retryable: bool = False


KINDS: Mapping[str, Kind] = {
    "malformed_request": Kind(400, "The request cannot be read"),
    "unauthenticated": Kind(401, "A valid API key is needed"),
    "insufficient_scope": Kind(403, "The API key may not do this"),
    "not_found": Kind(404, "There is no such thing"),
    "method_not_allowed": Kind(405, "The resource does not know this method"),
    "image_in_use": Kind(409, "The image is still used"),
    "prior_not_ready": Kind(409, "The prior is not ready"),
    "job_not_retryable": Kind(409, "The job cannot be retried"),
    "too_many_subjects": Kind(409, "The project has too many subjects"),
    "upload_incomplete": Kind(409, "The upload has not its file"),
    "upload_used": Kind(409, "The upload is an image already"),
    "idempotency_key_in_flight": Kind(409, "A request with this idempotency key is being worked on", retryable=True),
    "body_too_large": Kind(413, "The request body is too large"),
    "image_too_large": Kind(413, "The image file is too large"),
    "image_format_unsupported": Kind(415, "The file is not a JPEG, PNG or WebP picture"),
    "invalid_request": Kind(422, "The request is not valid"),
    "idempotency_key_reused": Kind(422, "The idempotency key belongs to another request"),
    "image_too_many_pixels": Kind(422, "The picture has too many pixels"),
    "image_sides_out_of_range": Kind(422, "The picture is too small or too long"),
    "image_animated": Kind(422, "The picture is animated"),
    "image_unreadable": Kind(422, "The picture is damaged"),
    "image_too_complex": Kind(422, "The picture takes too much to unpack"),
    "reference_count": Kind(422, "A subject needs 3 to 5 references"),
    "consent_required": Kind(422, "A person needs consent"),
    "prompt_empty": Kind(422, "The prompt is empty"),
    "prompt_without_subject": Kind(422, "The prompt does not name the subject"),
    "mask_size_mismatch": Kind(422, "The mask does not fit the image"),
    "webhook_url_forbidden": Kind(422, "The webhook URL must not be called"),
    "too_many_queued_jobs": Kind(429, "The project has too many jobs waiting", retryable=True),
    "gpu_seconds_used_up": Kind(429, "The project has used up its GPU seconds of today", retryable=True),
    "too_many_uploads": Kind(429, "The project has too many uploads waiting", retryable=True),
    "internal": Kind(500, "The service failed", retryable=True),
    "unavailable": Kind(503, "The database is not available", retryable=True),
    "storage_unavailable": Kind(503, "The object storage is not available", retryable=True),
}
COMMON = (
    "malformed_request",
    "unauthenticated",
    "insufficient_scope",
    "body_too_large",
    "invalid_request",
    "internal",
    "unavailable",
)
"""What every route that needs a key may answer."""


class FieldError(BaseModel):
    """One fault of the request: where it is (`param`, such as `references[1]`) and what is wrong."""

    param: str
    detail: str


class ProblemDocument(BaseModel):
    """RFC 9457, with a stable `code`; `retryable` says whether the same request may succeed later."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(json_schema_extra={"enum": list(KINDS)})
    param: str | None = None
    errors: list[FieldError] = []
    request_id: str | None
    retryable: bool


class Problem(HTTPException):
    """A refusal. `detail` tells the caller what to do; `param` which field it is about."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        param: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = KINDS[code]
        super().__init__(self.kind.status, detail, dict(headers or {}))
        self.code = code
        self.param = param
        self.errors = list(errors)


def not_found(what: str, identifier: str, *, param: str | None = None) -> Problem:
    """For what does not exist, and alike for what belongs to another project."""
    return Problem("not_found", f"there is no {what} {identifier} in this project: check the id", param=param)


def invalid(detail: str, *, param: str) -> Problem:
    """A fault that a schema cannot express, in the shape of those that it can."""
    return Problem("invalid_request", detail, param=param, errors=[FieldError(param=param, detail=detail)])


def install(app: FastAPI) -> None:
    """Answer every exception with a problem document."""
    for kind in (HTTPException, RequestValidationError, StorageError, *UNAVAILABLE, Exception):
        app.add_exception_handler(kind, answer)


def answer(request: Request, error: Exception) -> Response:
    """The problem document of an exception."""
    problem = _problem_of(request, error)
    document = ProblemDocument(
        type=f"urn:lipe:problem:{problem.code}",
        title=problem.kind.title,
        status=problem.kind.status,
        detail=problem.detail,
        code=problem.code,
        param=problem.param,
        errors=problem.errors,
        request_id=getattr(request.state, "request_id", None),
        retryable=problem.kind.retryable,
    )
    headers = dict(problem.headers or {})
    if problem.kind.retryable:
        headers.setdefault("Retry-After", RETRY_SECONDS)
    if document.request_id:
        headers["X-Request-Id"] = document.request_id
    body = document.model_dump(mode="json", exclude_none=True)
    return JSONResponse(body, problem.kind.status, headers, media_type=MEDIA_TYPE)


def documented(*codes: str, common: Sequence[str] = COMMON) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, beside those that are common to all, for its OpenAPI description."""
    statuses: dict[int | str, dict[str, Any]] = {}
    for code in (*common, *codes):
        kind = KINDS[code]
        entry = statuses.setdefault(kind.status, {"model": ProblemDocument, "description": "", "content": {}})
        entry["description"] = ", ".join(filter(None, [entry["description"], f"`{code}`"]))
        shown = entry["content"].setdefault(MEDIA_TYPE, {"examples": {}})  # the schema comes with the model
        shown["examples"][code] = {"value": _example(code)}
        if kind.retryable:
            entry["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return statuses


def _example(code: str) -> dict[str, Any]:
    kind = KINDS[code]
    return ProblemDocument(
        type=f"urn:lipe:problem:{code}",
        title=kind.title,
        status=kind.status,
        detail=f"{kind.title}: docs/problems.md says what to do",
        code=code,
        request_id="req_5f0c6f0e8c0f4b6f9a3d2b1c0e9d8c7b",
        retryable=kind.retryable,
    ).model_dump(mode="json", exclude_none=True)


def _problem_of(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _of_framework(request, error)
    if isinstance(error, UNAVAILABLE):
        log.warning("database unavailable: %s", error)
        return Problem("unavailable", "the database did not answer: send the same request again")
    if isinstance(error, StorageError):
        log.warning("storage unavailable: %s", error)
        return Problem("storage_unavailable", "the object storage did not answer: send the same request again")
    log.error("unexpected failure", exc_info=error)
    return Problem("internal", "this is a fault of the service: report it with the request_id")


def _of_framework(request: Request, error: HTTPException) -> Problem:
    """What the web framework itself refuses: unknown paths, unknown methods, bodies that do not parse."""
    if error.status_code == 404:
        return Problem("not_found", "there is nothing at this path: see /docs")
    if error.status_code == 405:
        allowed = _allowed(request)
        return Problem("method_not_allowed", f"use one of: {allowed}", headers={"Allow": allowed})
    return Problem("malformed_request", f"{error.detail}: see /docs for what this path takes")


def _allowed(request: Request) -> str:
    """All methods of the path: the framework's own answer knows those of its first route only."""
    described = request.app.openapi()["paths"].items()
    methods = {method for path, known in described if compile_path(path)[0].match(request.url.path) for method in known}
    return ", ".join(sorted(method.upper() for method in methods)) or "GET"  # /docs and its like are not described


def _invalid(error: RequestValidationError) -> Problem:
    errors = [FieldError(param=_path(fault["loc"]), detail=fault["msg"]) for fault in error.errors()]
    first = errors[0]
    return Problem("invalid_request", f"{first.param}: {first.detail}", param=first.param, errors=errors)


def _path(location: Sequence[str | int]) -> str:
    """("body", "references", 1) -> "references[1]"; a fault of the whole body is "body"."""
    where, *rest = location
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest).lstrip(".")
    return path or str(where)
