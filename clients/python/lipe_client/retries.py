"""Which failures the clients retry, and after how many seconds."""

import httpx

from lipe_client.problems import Problem

RETRIES = 4
FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 30.0

Failure = Problem | httpx.TransportError


def retry_delay(attempt: int, failure: Failure) -> float:
    """Seconds to wait before the retry that follows attempt number `attempt` (0, 1, ...).

    Raises the failure if a retry cannot help, if the retries are used up, or if `Retry-After` is longer than
    MAX_DELAY_SECONDS.
    """
    retry_after = failure.retry_after if isinstance(failure, Problem) else 0.0
    if isinstance(failure, Problem):
        is_retryable = failure.retryable
    else:
        is_retryable = not isinstance(failure, httpx.UnsupportedProtocol)
    if not is_retryable or attempt >= RETRIES or retry_after > MAX_DELAY_SECONDS:
        raise failure
    return min(max(FIRST_DELAY_SECONDS * 2.0**attempt, retry_after), MAX_DELAY_SECONDS)
