"""Quotas on the wire: a refusal, or the headers `RateLimit-Policy` and `RateLimit`.

The headers follow draft-ietf-httpapi-ratelimit-headers-10 (2025, not yet an RFC). They are lists of structured items
(RFC 9651) such as `"queued-jobs";q=100` and `"queued-jobs";r=99`: q is the quota, w the window in seconds, r the
remainder, t the seconds until the quota is whole again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from api.problems import Problem
from ledger.quotas import QuotaStatus

PROBLEMS: Mapping[str, tuple[str, str]] = {
    "queued-jobs": ("too_many_queued_jobs", "{} jobs are waiting already: wait for some of them, or cancel them"),
    "gpu-seconds": ("gpu_seconds_used_up", "today's {} GPU seconds are used up: send it again after midnight (UTC)"),
    "subjects": ("too_many_subjects", "the project has {} subjects: delete those that it no longer needs"),
    "pending-uploads": (
        "too_many_uploads",
        "{} uploads are not images yet: create images from them, or wait until they expire",
    ),
    "images": ("too_many_images", "the project has {} images: delete those that it no longer needs"),
    "image-bytes": (
        "image_bytes_used_up",
        "the project's images may have {} bytes in all: delete those that it no longer needs",
    ),
    "webhook-endpoints": (
        "too_many_endpoints",
        "the project has {} webhook endpoints: delete those that it no longer needs",
    ),
    "studies": ("too_many_studies", "the project has {} studies: delete those that it no longer needs"),
}
"""For each quota: the code of its refusal and the detail."""

RETRY_SECONDS = 30  # for quotas without a window: the time until there is room is unknown
RATE_LIMIT_HEADERS: dict[str, Any] = {
    "RateLimit-Policy": {"description": "The project's quotas.", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "The remainder of each quota; absent from a repeated answer.",
        "schema": {"type": "string"},
    },
}
"""The headers' description for OpenAPI."""


def check_quotas(statuses: Sequence[QuotaStatus]) -> dict[str, str]:
    """The headers for the answer. Raises Problem if a quota is exceeded."""
    headers = _headers(statuses)
    for status in statuses:
        if status.is_exceeded:
            code, detail = PROBLEMS[status.name]
            wait = {"Retry-After": str(status.reset or RETRY_SECONDS)}
            raise Problem(code, detail.format(status.quota), headers=headers | wait)
    return headers


def _headers(statuses: Sequence[QuotaStatus]) -> dict[str, str]:
    return {
        "RateLimit-Policy": ", ".join(f'"{one.name}";q={one.quota}{_parameter("w", one.window)}' for one in statuses),
        "RateLimit": ", ".join(f'"{one.name}";r={one.remaining}{_parameter("t", one.reset)}' for one in statuses),
    }


def _parameter(name: str, value: int | None) -> str:
    return "" if value is None else f";{name}={value}"
