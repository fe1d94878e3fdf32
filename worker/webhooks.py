"""Webhook delivery: Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks).

One call of `deliver` is one attempt at one delivery. The body was stored as bytes with the event and is sent unchanged.
`decide` turns the response into the next step. The time of the next attempt is in the database, so no delivery is lost
if the process dies: the delivery is due again when its lease expires.
"""

import logging
import random
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from structlog.contextvars import bound_contextvars

from ledger import deliveries
from ledger.addresses import WEB_PORTS, Forbidden
from ledger.database import UnitOfWork
from ledger.deliveries import DeliveryAttempt, Outcome
from ledger.safehttp import Response, Unreachable, post
from ledger.tracing import NO_TRACING, Tracing, trace_names
from ledger.webhook_signing import headers
from worker.metrics import WebhookMetrics
from worker.receiver_limiter import Receiver

RETRY_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1
MAX_RETRY_SECONDS = 86_400
GONE = 410
TIMEOUT_SECONDS = 15.0
LEASE_SECONDS = 60.0
PORTS = {"http": 80, "https": 443}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """The outcome of one attempt; `retry_in` (seconds) is set for "retry" only."""

    outcome: Outcome
    retry_in: float | None = None


def deliver(
    begin: UnitOfWork,
    delivery_id: str,
    *,
    allow_private: bool,
    ports: Collection[int] = WEB_PORTS,
    metrics: WebhookMetrics | None = None,
    tracing: Tracing = NO_TRACING,
) -> None:
    """Make one attempt at the delivery, and count it. Does nothing if it is not due or another worker has it."""
    with begin() as session:
        sending = deliveries.claim(session, delivery_id, LEASE_SECONDS)
    if sending is None:
        return
    names = {"delivery_id": delivery_id, "attempt": sending.attempt}
    with (
        bound_contextvars(**names, **trace_names(sending.traceparent)),
        tracing.span("webhook", sending.traceparent, **names),
    ):
        start = time.perf_counter()
        traceparent = tracing.traceparent() or sending.traceparent
        decision, status, error = _attempt(sending, traceparent, allow_private, ports)
        log.info("delivery %s: attempt %d: %s: %s", delivery_id, sending.attempt, status or error, decision.outcome)
        if metrics is not None:
            metrics.attempts.labels(decision.outcome).inc()
            metrics.attempt_seconds.observe(time.perf_counter() - start)
        with begin() as session:
            deliveries.record_outcome(session, sending, decision.outcome, decision.retry_in, status, error)


def _attempt(
    sending: DeliveryAttempt, traceparent: str | None, allow_private: bool, ports: Collection[int]
) -> tuple[Decision, int | None, str | None]:
    """Send the delivery; what follows, the status of the response, and the error if there is no response."""
    chance = random.random()  # noqa: S311
    try:
        fields = headers(sending.secrets, sending.message_id, int(time.time()), sending.body)
        fields |= {"traceparent": traceparent} if traceparent else {}
        response = post(
            sending.url, sending.body, fields, seconds=TIMEOUT_SECONDS, allow_private=allow_private, ports=ports
        )
        return decide(response, sending.attempt, chance=chance), response.status, None
    except (Unreachable, Forbidden) as reason:
        error = str(reason)
    except Exception as reason:  # a delivery without an outcome would be due again, without end
        log.exception("delivery %s: attempt %d", sending.delivery_id, sending.attempt)
        error = f"the request cannot be made: an unexpected {type(reason).__name__}"
    return decide(None, sending.attempt, chance=chance), None, error


def find_receiver(begin: UnitOfWork, delivery_id: str) -> Receiver:
    """The receiver of a delivery: its project, and host and port of its URL."""
    with begin() as session:
        destination = deliveries.destination(session, delivery_id)
    if destination is None:
        return Receiver(None, None)
    try:
        url = urlsplit(destination[1])
        return Receiver(destination[0], (url.hostname, url.port or PORTS[url.scheme]))
    except (ValueError, KeyError):  # the attempt refuses such a URL and says why
        return Receiver(destination[0], None)


def decide(response: Response | None, attempt: int, *, chance: float) -> Decision:
    """The outcome of attempt 1, 2, ...

    `response` is None if the receiver sent none; `chance`, a random number in [0, 1), determines the jitter.
    """
    if response is not None and 200 <= response.status < 300:
        return Decision("delivered")
    if response is not None and response.status == GONE:
        return Decision("disabled")
    if attempt > len(RETRY_SECONDS):
        return Decision("exhausted")
    wait = RETRY_SECONDS[attempt - 1] * (1 + JITTER * (2 * chance - 1))
    requested = retry_after(response.headers) if response is not None else 0.0
    return Decision("retry", min(max(wait, requested), MAX_RETRY_SECONDS * (1 + JITTER)))


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the receiver requests to wait (RFC 9110, 10.2.3: a number or a date); 0 without a valid header."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
