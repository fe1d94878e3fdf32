"""The service's refusals (RFC 9457 problem documents) as exceptions."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from client.models import Job


class Problem(Exception):
    """The service refused a request. `code` is from the documented list, `retryable`: it may help to try again."""

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
    """A job ended, but did not succeed. `job` is its last state."""

    def __init__(self, job: Job) -> None:
        reason = f": {job.error.code}: {job.error.detail}" if job.error else ""
        super().__init__(f"job {job.id} {job.status}{reason}")
        self.job = job


def raise_for_problem(answer: httpx.Response) -> None:
    """Nothing for a success; else the answer's problem document as an exception. Its body must have been read."""
    if answer.is_success:
        return
    try:
        body = answer.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    raise Problem(
        answer.status_code,
        body.get("code", "unknown"),
        body.get("detail") or body.get("title") or answer.text[:200],
        retryable=bool(body.get("retryable", _may_pass(answer.status_code))),
        body=body,
        retry_after=_seconds(answer.headers.get("retry-after", "")),
    )


def _may_pass(status: int) -> bool:
    """For answers that are no problem documents: a proxy's, or the object storage's."""
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _seconds(header: str) -> float:
    """RFC 9110, 10.2.3: a number or a date; 0 for neither."""
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
