"""Quotas on the wire: a refusal, or the fields `RateLimit-Policy` and `RateLimit`.

They are draft-ietf-httpapi-ratelimit-headers-10 (2025, not yet an RFC): lists of structured items (RFC 9651), such as
`"queued-jobs";q=100` and `"queued-jobs";r=99`; q quota, w window, r remaining, t seconds until it is whole again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from api.problems import Problem
from ledger.quotas import QuotaStatus

REFUSALS: Mapping[str, tuple[str, str]] = {
    "queued-jobs": ("too_many_queued_jobs", "{} jobs are waiting already: wait for some of them, or cancel them"),
    "gpu-seconds": ("gpu_seconds_used_up", "today's {} GPU seconds are used up: send it again after midnight (UTC)"),
    "subjects": ("too_many_subjects", "the project has {} subjects: delete some that are not needed any more"),
    "pending-uploads": (
        "too_many_uploads",
        "{} uploads wait to become images: make images of them, or wait until they are forgotten",
    ),
}
RETRY_SECONDS = 30  # where nobody knows when there will be room
DESCRIBED: dict[str, Any] = {
    "RateLimit-Policy": {"description": "The project's quotas.", "schema": {"type": "string"}},
    "RateLimit": {"description": "What is left of them; not in a replayed answer.", "schema": {"type": "string"}},
}
"""The fields, for OpenAPI."""


def admit(standings: Sequence[QuotaStatus]) -> dict[str, str]:
    """The fields for the answer. Raises Problem if a quota is exceeded."""
    fields = _fields(standings)
    for standing in standings:
        if standing.is_exceeded:
            code, detail = REFUSALS[standing.name]
            wait = {"Retry-After": str(standing.reset or RETRY_SECONDS)}
            raise Problem(code, detail.format(standing.quota), headers=fields | wait)
    return fields


def _fields(standings: Sequence[QuotaStatus]) -> dict[str, str]:
    return {
        "RateLimit-Policy": ", ".join(f'"{one.name}";q={one.quota}{_parameter("w", one.window)}' for one in standings),
        "RateLimit": ", ".join(f'"{one.name}";r={one.remaining}{_parameter("t", one.reset)}' for one in standings),
    }


def _parameter(name: str, value: int | None) -> str:
    return "" if value is None else f";{name}={value}"
