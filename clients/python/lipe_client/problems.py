"""Exceptions for refused requests (RFC 9457 problem documents) and failed jobs."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from lipe_client.models import Job


class Problem(Exception):
    """The service refused a request.

    docs/problems.md lists the values of `code`. `retryable`: the same request may succeed later, after `retry_after`
    seconds.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, retryable: bool, body: dict[str, Any], retry_after: float = 0.0
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.body = body
        self.retry_after = retry_after


class JobFailed(Exception):
    """A job ended without success. `job` is its last state."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.error.code}: {job.error.detail}" if job.error else ""
        super().__init__(f"job {job.id} {job.status}{reason}")
        self.job = job


def raise_for_problem(response: httpx.Response) -> None:
    """Raise Problem unless the response is a success. The body must have been read."""
    if response.is_success:
        return
    try:
        body = response.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    raise Problem(
        response.status_code,
        body.get("code", "unknown"),
        body.get("detail") or body.get("title") or response.text[:200],
        retryable=bool(body.get("retryable", _is_transient(response.status_code))),
        body=body,
        retry_after=_seconds(response.headers.get("retry-after", "")),
    )


def _is_transient(status: int) -> bool:
    """The default for responses without a problem document, from a proxy or from the object storage."""
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _seconds(header: str) -> float:
    """The seconds of a Retry-After header (RFC 9110, 10.2.3): a number or a date; 0 for anything else."""
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
