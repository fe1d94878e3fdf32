"""Problem documents (RFC 9457): the body of every refusal, with a code from one closed list.

docs/problems.md explains each code. It is made of this list and of docs/generate/problem_meanings.py.
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
class ProblemKind:
    """The facts that all problems of one code share. `retryable`: the same request may succeed later."""

    status: int
    title: str
    retryable: bool = False


PROBLEM_KINDS: Mapping[str, ProblemKind] = {
    "malformed_request": ProblemKind(400, "The request cannot be read"),
    "unauthenticated": ProblemKind(401, "A valid API key is needed"),
    "insufficient_scope": ProblemKind(403, "The API key may not do this"),
    "signed_url_invalid": ProblemKind(403, "The signed URL is not valid"),
    "not_found": ProblemKind(404, "The resource does not exist"),
    "method_not_allowed": ProblemKind(405, "The resource does not support this method"),
    "image_in_use": ProblemKind(409, "The image is in use"),
    "prior_in_use": ProblemKind(409, "The prior is in use"),
    "prior_not_ready": ProblemKind(409, "The prior is not ready"),
    "job_not_retryable": ProblemKind(409, "The job cannot be retried"),
    "too_many_subjects": ProblemKind(409, "The project has too many subjects"),
    "upload_incomplete": ProblemKind(409, "The upload has no file yet"),
    "upload_used": ProblemKind(409, "The upload is already an image or a prior"),
    "idempotency_key_in_flight": ProblemKind(409, "A request with this idempotency key is in progress", retryable=True),
    "upload_mismatch": ProblemKind(409, "The file is not the announced one"),
    "body_too_large": ProblemKind(413, "The request body is too large"),
    "image_too_large": ProblemKind(413, "The image file is too large"),
    "lora_too_large": ProblemKind(413, "The LoRA file is too large"),
    "image_format_unsupported": ProblemKind(415, "The file is not a JPEG, PNG, WebP, HEIC or AVIF image"),
    "range_not_satisfiable": ProblemKind(416, "The file has none of the requested bytes"),
    "invalid_request": ProblemKind(422, "The request is invalid"),
    "priors_not_mixable": ProblemKind(422, "The priors cannot be mixed"),
    "idempotency_key_reused": ProblemKind(422, "The idempotency key belongs to another request"),
    "image_too_many_pixels": ProblemKind(422, "The image has too many pixels"),
    "image_sides_out_of_range": ProblemKind(422, "The image is too small or too large"),
    "image_animated": ProblemKind(422, "The image is animated"),
    "image_unreadable": ProblemKind(422, "The image is damaged"),
    "image_too_complex": ProblemKind(422, "The image is too complex to decode"),
    "lora_invalid": ProblemKind(422, "The file is no LoRA that can be imported"),
    "reference_count": ProblemKind(422, "A subject needs 3 to 20 references"),
    "consent_required": ProblemKind(422, "A person as subject needs consent"),
    "prompt_empty": ProblemKind(422, "The prompt is empty"),
    "prompt_without_subject": ProblemKind(422, "The prompt does not name the subject"),
    "mask_size_mismatch": ProblemKind(422, "The mask and the image differ in size"),
    "image_url_forbidden": ProblemKind(422, "The image URL is not allowed"),
    "image_url_unreachable": ProblemKind(422, "There is no file at the image URL"),
    "webhook_url_forbidden": ProblemKind(422, "The webhook URL is not allowed"),
    "too_many_queued_jobs": ProblemKind(429, "The project has too many queued jobs", retryable=True),
    "gpu_seconds_used_up": ProblemKind(429, "The project has used up today's GPU seconds", retryable=True),
    "too_many_uploads": ProblemKind(429, "The project has too many pending uploads", retryable=True),
    "internal": ProblemKind(500, "The service failed", retryable=True),
    "unavailable": ProblemKind(503, "The database is not available", retryable=True),
    "storage_unavailable": ProblemKind(503, "The object storage is not available", retryable=True),
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


def install(app: FastAPI) -> None:
    """Make the application answer every exception with a problem document."""
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
        used_by=problem.used_by,
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
    return Problem("internal", "this is an error of the service: report it with the request_id")


def _of_framework(request: Request, error: HTTPException) -> Problem:
    """Refusals by the web framework: unknown paths, unknown methods, bodies that do not parse."""
    if error.status_code == 404:
        return Problem("not_found", "there is nothing at this path: see /docs")
    if error.status_code == 405:
        allowed = _allowed(request)
        return Problem("method_not_allowed", f"use one of: {allowed}", headers={"Allow": allowed})
    return Problem("malformed_request", f"{error.detail}: see /docs for what this path takes")


def _allowed(request: Request) -> str:
    """All methods of the path. The framework's own answer lists those of the first matching route alone."""
    operations = request.app.openapi()["paths"].items()
    methods = {
        method for path, known in operations if compile_path(path)[0].match(request.url.path) for method in known
    }
    return (
        ", ".join(sorted(method.upper() for method in methods)) or "GET"
    )  # the document does not describe /docs and the like


def _invalid(error: RequestValidationError) -> Problem:
    errors = [FieldError(param=_path(one["loc"]), detail=one["msg"]) for one in error.errors()]
    first = errors[0]
    return Problem("invalid_request", f"{first.param}: {first.detail}", param=first.param, errors=errors)


def _path(location: Sequence[str | int]) -> str:
    """The name of a field: ("body", "references", 1) -> "references[1]". The name of the whole body is "body"."""
    where, *rest = location
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest).lstrip(".")
    return path or str(where)
