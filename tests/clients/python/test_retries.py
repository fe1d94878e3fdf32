"""Which failures are retried, and after how many seconds."""

from typing import Any

import httpx
import pytest

from lipe_client import Problem, retries


def test_only_transient_failures_are_retried() -> None:
    def problem(status: int, **fields: Any) -> Problem:
        return Problem(status, "code", "detail", body={}, **fields)

    for permanent in (
        problem(422, retryable=False),
        problem(429, retryable=True, retry_after=3600),
        httpx.UnsupportedProtocol("no scheme"),
    ):
        with pytest.raises(type(permanent)):
            retries.retry_delay(0, permanent)
    with pytest.raises(httpx.ReadError):
        retries.retry_delay(retries.RETRIES, httpx.ReadError("again"))
    assert retries.retry_delay(2, httpx.ReadError("lost")) == 2.0
    assert retries.retry_delay(0, problem(503, retryable=True, retry_after=7.0)) == 7.0
