"""The answers to exceptions: each becomes a problem document, with its status and headers."""

import errno
import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from api.problems import MEDIA_TYPE, FieldError, Problem, ProblemDocument
from ledger.database import UNAVAILABLE
from ledger.storage import StorageError

RETRY_SECONDS = "5"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Make the application answer every exception with a problem document."""
    for kind in (
        HTTPException,
        RequestValidationError,
        ClientDisconnect,
        StorageError,
        *UNAVAILABLE,
        OSError,
        Exception,
    ):
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


def _problem_of(request: Request, error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _of_framework(request, error)
    if isinstance(error, ClientDisconnect):  # no client reads it, and the service has not failed
        return Problem("malformed_request", "the connection ended before the answer")
    if isinstance(error, UNAVAILABLE):
        log.warning("database unavailable: %s", error)
        return Problem("unavailable", "the database did not answer: send the same request again")
    if isinstance(error, StorageError):
        log.warning("storage unavailable: %s", error)
        return Problem("storage_unavailable", "the object storage did not answer: send the same request again")
    if isinstance(error, OSError) and error.errno in FULL:
        log.error("the disk for temporary files is full: %s", error)
        return Problem("storage_unavailable", "the service's disk is full: send the same request again later")
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
