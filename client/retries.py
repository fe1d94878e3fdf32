"""When to send again: while the service is away, or says that it may help."""

import httpx

from client.problems import Problem

RETRIES = 4
FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0

Failure = Problem | httpx.TransportError


def pause(attempt: int, failure: Failure) -> float:
    """Seconds until attempt number `attempt` (0, 1, ...), which failed, is made again.

    Raises the failure where that cannot help, and where `Retry-After` asks for longer than a caller should be held.
    """
    asked = failure.retry_after if isinstance(failure, Problem) else 0.0
    may_help = failure.retryable if isinstance(failure, Problem) else not isinstance(failure, httpx.UnsupportedProtocol)
    if not may_help or attempt >= RETRIES or asked > LONGEST_RETRY_SECONDS:
        raise failure
    return min(max(FIRST_RETRY_SECONDS * 2.0**attempt, asked), LONGEST_RETRY_SECONDS)
